// 3x3 convolution of stride 1 or 2 and padding 1 by Winograd's algorithm (kernels/winograd_simd.hpp): f32, activations
// [N,H,W,C] in memory (nhwc), weights OIHW, channels in multiples of 16. Relative error about 2e-6 (L2).
// Steps: conv2d.forward, conv2d.dx, conv2d.dw, and both of the latter at once, which transforms dy only once:
//   conv2d.backward: dy x w -> dx dw
#pragma once
#include "kernels/conv2d.hpp"
#include "kernels/gemm_simd.hpp"
#include "kernels/winograd_simd.hpp"

namespace rt::cpu {

namespace winograd {
struct Kernels {
  const WinogradKernels &stride1, &stride2;
  const GemmKernels& gemm;
};
// `workspace`: 64-byte aligned, of the bytes that the function below says for as many threads as are in use then.
void forward(const Kernels& kernels, const Conv2dShape& s, const float* x, const float* w, float* y, void* workspace);
// dx or dw may be null, then x or w may be too.
void backward(const Kernels& kernels, const Conv2dShape& s, const float* dy, const float* x, const float* w, float* dx,
              float* dw, void* workspace);
size_t forward_bytes(const Kernels& kernels, const Conv2dShape& s);
size_t backward_bytes(const Kernels& kernels, const Conv2dShape& s, bool dx, bool dw);
}  // namespace winograd

template <const WinogradKernels& stride1, const WinogradKernels& stride2, const GemmKernels& gemm>
struct Conv2dWinograd {
  static constexpr winograd::Kernels kernels{stride1, stride2, gemm};
  static void forward(const Args& a) {
    winograd::forward(kernels, conv2d_shape(a.op, a.in[0].spec, a.in[1].spec), a.in[0].as<float>(), a.in[1].as<float>(),
                      a.out[0].as<float>(), a.workspace);
  }
  static void dx(const Args& a) {
    winograd::backward(kernels, conv2d_shape(a.op, a.out[0].spec, a.in[1].spec), a.in[0].as<float>(), nullptr,
                       a.in[1].as<float>(), a.out[0].as<float>(), nullptr, a.workspace);
  }
  static void dw(const Args& a) {
    winograd::backward(kernels, conv2d_shape(a.op, a.in[1].spec, a.out[0].spec), a.in[0].as<float>(),
                       a.in[1].as<float>(), nullptr, nullptr, a.out[0].as<float>(), a.workspace);
  }
  static void backward(const Args& a) {
    winograd::backward(kernels, conv2d_shape(a.op, a.in[1].spec, a.in[2].spec), a.in[0].as<float>(),
                       a.in[1].as<float>(), a.in[2].as<float>(), a.out[0].as<float>(), a.out[1].as<float>(),
                       a.workspace);
  }
  static size_t forward_bytes(const Problem& p) {
    return winograd::forward_bytes(kernels, conv2d_shape(p.op, p.in[0], p.in[1]));
  }
  static size_t dx_bytes(const Problem& p) {
    return winograd::backward_bytes(kernels, conv2d_shape(p.op, p.out[0], p.in[1]), true, false);
  }
  static size_t dw_bytes(const Problem& p) {
    return winograd::backward_bytes(kernels, conv2d_shape(p.op, p.in[1], p.out[0]), false, true);
  }
  static size_t backward_bytes(const Problem& p) {
    return winograd::backward_bytes(kernels, conv2d_shape(p.op, p.in[1], p.in[2]), true, true);
  }
};

std::string refuse_winograd_forward(const Problem& p);
std::string refuse_winograd_dx(const Problem& p);
std::string refuse_winograd_dw(const Problem& p);
std::string refuse_winograd_backward(const Problem& p);

}  // namespace rt::cpu
