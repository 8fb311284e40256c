// Direct convolution as matrix products on the CPU, for any shape, stride and padding: f32, activations [N,H,W,C] in
// memory (nhwc), weights OIHW. A classifier is a 1x1 convolution of 1x1 images. `workspace` is 64-byte aligned and
// holds the bytes that the *_bytes function beside it says, for as many threads as are in use when it is asked.
#pragma once
#include "kernels/conv2d.hpp"
#include "kernels/gemm_simd.hpp"
#include "kernels/nhwc_rows.hpp"

namespace rt::cpu {

namespace gemm {
void forward(const GemmKernels& kernels, const Conv2dShape& s, const float* x, const float* w, const float* bias,
             float* y, void* workspace);  // bias [K], or null
void dx(const GemmKernels& kernels, const Conv2dShape& s, const float* dy, const float* w, float* dx, void* workspace);
void dw(const GemmKernels& kernels, const Conv2dShape& s, const float* dy, const float* x, float* dw, void* workspace);
size_t forward_bytes(const GemmKernels& kernels, const Conv2dShape& s);
size_t dx_bytes(const GemmKernels& kernels, const Conv2dShape& s);
size_t dw_bytes(const GemmKernels& kernels, const Conv2dShape& s);
}  // namespace gemm

// The rows of conv2d.* and linear.* for one instruction set: Conv2dGemm<avx2::gemm_kernels>::forward.
template <const GemmKernels& kernels, Conv2dShape (*shape)(const Op*, const Spec& x, const Spec& w)>
struct GemmRows {
  static void forward(const Args& a) {
    gemm::forward(kernels, shape(a.op, a.in[0].spec, a.in[1].spec), a.in[0].as<float>(), a.in[1].as<float>(),
                  a.in.size() > 2 ? a.in[2].as<float>() : nullptr, a.out[0].as<float>(), a.workspace);
  }
  static void dx(const Args& a) {
    gemm::dx(kernels, shape(a.op, a.out[0].spec, a.in[1].spec), a.in[0].as<float>(), a.in[1].as<float>(),
             a.out[0].as<float>(), a.workspace);
  }
  static void dw(const Args& a) {
    gemm::dw(kernels, shape(a.op, a.in[1].spec, a.out[0].spec), a.in[0].as<float>(), a.in[1].as<float>(),
             a.out[0].as<float>(), a.workspace);
  }
  static size_t forward_bytes(const Problem& p) { return gemm::forward_bytes(kernels, shape(p.op, p.in[0], p.in[1])); }
  static size_t dx_bytes(const Problem& p) { return gemm::dx_bytes(kernels, shape(p.op, p.out[0], p.in[1])); }
  static size_t dw_bytes(const Problem& p) { return gemm::dw_bytes(kernels, shape(p.op, p.in[1], p.out[0])); }
};

inline Conv2dShape linear_shape(const Op*, const Spec& x, const Spec& w) {
  return {x.shape[0], x.shape[1], 1, 1, w.shape[0], 1, 1, 1, 1, 1, 0};
}
template <const GemmKernels& kernels>
using Conv2dGemm = GemmRows<kernels, conv2d_shape>;
template <const GemmKernels& kernels>
using LinearGemm = GemmRows<kernels, linear_shape>;

inline std::string refuse_conv2d_gemm(const Problem& p) {
  if (p.in[0].layout != Layout::nhwc) return "needs nhwc";
  if (p.in[1].layout == p.out[0].layout) return "needs weights in K,C,R,S order";  // one of these two is the weight
  return refuse_all_but_f32_bf16(p);
}

}  // namespace rt::cpu
