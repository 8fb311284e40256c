// Convolution of bf16 by products that read the windows where they lie, in a copy of the image with its padding: one
// copy instead of one per tap (conv2d_gemm.cpp). It is for instruction sets whose products take rows that lie apart.
#pragma once
#include "kernels/conv2d/direct/conv2d_windows.hpp"

namespace rt::cpu::padded {

bool fit(const GemmKernelsOf<Bf16Pair>& kernels, const Windows<bf16>& windows, int64_t outputs);
// y[pixel, output] = sum over the depth of windows[pixel, d] * weights[d, output]; panels as pack_weights makes them.
void correlate(const GemmKernelsOf<Bf16Pair>& kernels, const Windows<bf16>& windows, const Bf16Pair* panels,
               int64_t outputs, bf16* y, void* workspace);
size_t correlate_bytes(const Windows<bf16>& windows);  // of workspace, for as many threads as are in use

}  // namespace rt::cpu::padded
