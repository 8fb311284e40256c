// Direct convolution and the classifier as matrix products on the CPU, for any shape, stride and padding:
// f32, activations [N,H,W,C] in memory (nhwc), weights OIHW. One row per instruction set; see conv2d_gemm.cpp.
#pragma once
#include "core/step.hpp"
#include "kernels/gemm_simd.hpp"

namespace rt::cpu {

std::string refuse_conv2d_gemm(const Problem& p);
std::string refuse_linear_gemm(const Problem& p);

// Workspace: bytes for these kernels, this shape and as many threads as are in use when it is asked for.
void conv2d_forward(const GemmKernels& kernels, const Args& a);
void conv2d_dx(const GemmKernels& kernels, const Args& a);
void conv2d_dw(const GemmKernels& kernels, const Args& a);
void linear_forward(const GemmKernels& kernels, const Args& a);
void linear_dx(const GemmKernels& kernels, const Args& a);
void linear_dw(const GemmKernels& kernels, const Args& a);
size_t conv2d_forward_bytes(const GemmKernels& kernels, const Problem& p);
size_t conv2d_dx_bytes(const GemmKernels& kernels, const Problem& p);
size_t conv2d_dw_bytes(const GemmKernels& kernels, const Problem& p);
size_t linear_forward_bytes(const GemmKernels& kernels, const Problem& p);
size_t linear_dx_bytes(const GemmKernels& kernels, const Problem& p);
size_t linear_dw_bytes(const GemmKernels& kernels, const Problem& p);

// A row's function for one instruction set: run<avx2::gemm_kernels, conv2d_forward>.
template <const GemmKernels& kernels, void (*body)(const GemmKernels&, const Args&)>
void run(const Args& a) {
  body(kernels, a);
}
template <const GemmKernels& kernels, size_t (*body)(const GemmKernels&, const Problem&)>
size_t bytes(const Problem& p) {
  return body(kernels, p);
}

}  // namespace rt::cpu
