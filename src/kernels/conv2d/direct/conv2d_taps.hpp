// Weight gradients of small filters by products of bf16 pairs along the pixels, tap by tap: what is multiplied is
// copied once per column of taps instead of once per tap (conv2d_gemm.cpp's windows).
//
// The rows of all output images follow each other in one sequence. A row of zeros stands behind those of each image,
// and each row is padded to an even width. One operand is the transposed dy, [K, pixels of the sequence]. For each
// column of taps, and each class of rows of x that a stride keeps apart, the other operand is [pairs of pixels, C]: the
// pairs of x that a tap of that column sees from two adjacent output pixels. A tap one row further up or down sees the
// same matrix one row earlier or later; across the edge of an image it meets the zeros.
#pragma once
#include "kernels/conv2d/conv2d.hpp"
#include "kernels/gemm/gemm_simd.hpp"

namespace rt::cpu::by_taps {

bool fit(const Conv2dShape& s);
// dy, x and dw as conv2d.dw has them, activations nhwc and weights OIHW; sums in f32, rounded once.
void dw(const GemmKernelsOf<Bf16Pair>& kernels, const Conv2dShape& s, const bf16* dy, const bf16* x, bf16* dw,
        void* workspace);
size_t dw_bytes(const Conv2dShape& s);  // of workspace, for as many threads as are in use

}  // namespace rt::cpu::by_taps
