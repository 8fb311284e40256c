// Direct convolution for few output pixels and many weights, as small batches have in the last layers: the weights, which are
// all that is large then, are read or written once and as they lie. f32, activations [N,H,W,C] in memory (nhwc), weights OIHW.
#pragma once
#include "kernels/conv2d_gemm.hpp"

namespace rt::cpu {

namespace few {
constexpr int64_t most_pixels = 64;  // of the whole batch
void forward(const GemmKernels& kernels, const Conv2dShape& s, const float* x, const float* w, float* y,
             void* workspace);
void dx(const GemmKernels& kernels, const Conv2dShape& s, const float* dy, const float* w, float* dx, void* workspace);
void dw(const GemmKernels& kernels, const Conv2dShape& s, const float* dy, const float* x, float* dw, void* workspace);
size_t forward_bytes(const GemmKernels& kernels, const Conv2dShape& s);
size_t dx_bytes(const GemmKernels& kernels, const Conv2dShape& s);
size_t dw_bytes(const GemmKernels& kernels, const Conv2dShape& s);
std::string refuse(const Problem& p, const Spec& x, const Spec& w);
inline bool fits(const Conv2dShape& s) {
  return s.n * s.p * s.q <= most_pixels && s.r * s.s > 1 && s.c * s.r * s.s % 32 == 0;
}
}  // namespace few

template <const GemmKernels& kernels>
struct Conv2dFew {
  static void forward(const Args& a) {
    few::forward(kernels, conv2d_shape(a.op, a.in[0].spec, a.in[1].spec), a.in[0].as<float>(), a.in[1].as<float>(),
                 a.out[0].as<float>(), a.workspace);
  }
  static void dx(const Args& a) {
    few::dx(kernels, conv2d_shape(a.op, a.out[0].spec, a.in[1].spec), a.in[0].as<float>(), a.in[1].as<float>(),
            a.out[0].as<float>(), a.workspace);
  }
  static void dw(const Args& a) {
    few::dw(kernels, conv2d_shape(a.op, a.in[1].spec, a.out[0].spec), a.in[0].as<float>(), a.in[1].as<float>(),
            a.out[0].as<float>(), a.workspace);
  }
  static size_t forward_bytes(const Problem& p) {
    return few::forward_bytes(kernels, conv2d_shape(p.op, p.in[0], p.in[1]));
  }
  static size_t dx_bytes(const Problem& p) { return few::dx_bytes(kernels, conv2d_shape(p.op, p.out[0], p.in[1])); }
  static size_t dw_bytes(const Problem& p) { return few::dw_bytes(kernels, conv2d_shape(p.op, p.in[1], p.out[0])); }
};

inline std::string refuse_few_forward(const Problem& p) { return few::refuse(p, p.in[0], p.in[1]); }
inline std::string refuse_few_dx(const Problem& p) { return few::refuse(p, p.out[0], p.in[1]); }
inline std::string refuse_few_dw(const Problem& p) { return few::refuse(p, p.in[1], p.out[0]); }

}  // namespace rt::cpu
