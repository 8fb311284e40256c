// Direct convolution as matrix products on the CPU, for any shape, stride and padding: activations [N,H,W,C] in memory
// (nhwc) and weights OIHW, both of type T, f32 or bf16; sums in f32, rounded once. A classifier is a 1x1 convolution of 1x1
// images. `workspace` is 64-byte aligned and holds the bytes that the *_bytes function beside it says, for as many threads
// as are in use when it is asked. Element: what the matrix product multiplies; exist for the pairs of conv2d_windows.hpp.
#pragma once
#include "kernels/conv2d/conv2d.hpp"
#include "kernels/gemm/gemm_simd.hpp"
#include "kernels/simd/nhwc_rows.hpp"

namespace rt::cpu {

namespace gemm {
template <class T, class Element>
struct Passes {
  using Kernels = GemmKernelsOf<Element>;
  static void forward(const Kernels& kernels, const Conv2dShape& s, const T* x, const T* w, T* y, void* workspace);
  static void dx(const Kernels& kernels, const Conv2dShape& s, const T* dy, const T* w, T* dx, void* workspace);
  static void dw(const Kernels& kernels, const Conv2dShape& s, const T* dy, const T* x, T* dw, void* workspace);
  static size_t forward_bytes(const Kernels& kernels, const Conv2dShape& s);
  static size_t dx_bytes(const Kernels& kernels, const Conv2dShape& s);
  static size_t dw_bytes(const Kernels& kernels, const Conv2dShape& s);
};
}  // namespace gemm

// The rows of conv2d.* and linear.* for one instruction set: Conv2dGemm<avx2::gemm_kernels>::forward.
template <const auto& kernels, Conv2dShape (*shape)(const Op*, const Spec& x, const Spec& w)>
struct GemmRows {
  template <class T, class Element>
  static gemm::Passes<T, Element> passes(const GemmKernelsOf<Element>&);
  template <class T>
  using Passes = decltype(passes<T>(kernels));
  static constexpr bool takes_f32 = std::is_same_v<decltype(kernels), const GemmKernels&>;

  // f(T{}, Passes<T>{}), by how the values lie in memory
  template <class F>
  static auto by_type(const Spec& x, F&& f) {
    if constexpr (takes_f32)
      if (x.dtype == DType::f32) return f(float{}, Passes<float>{});
    return f(bf16{}, Passes<bf16>{});
  }
  static void forward(const Args& a) {
    by_type(a.in[0].spec, [&]<class T>(T, auto passes) {
      passes.forward(kernels, shape(a.op, a.in[0].spec, a.in[1].spec), a.in[0].as<T>(), a.in[1].as<T>(),
                     a.out[0].as<T>(), a.workspace);
    });
  }
  static void dx(const Args& a) {
    by_type(a.in[0].spec, [&]<class T>(T, auto passes) {
      passes.dx(kernels, shape(a.op, a.out[0].spec, a.in[1].spec), a.in[0].as<T>(), a.in[1].as<T>(), a.out[0].as<T>(),
                a.workspace);
    });
  }
  static void dw(const Args& a) {
    by_type(a.in[0].spec, [&]<class T>(T, auto passes) {
      passes.dw(kernels, shape(a.op, a.in[1].spec, a.out[0].spec), a.in[0].as<T>(), a.in[1].as<T>(), a.out[0].as<T>(),
                a.workspace);
    });
  }
  static size_t forward_bytes(const Problem& p) {
    return by_type(p.in[0],
                   [&](auto, auto passes) { return passes.forward_bytes(kernels, shape(p.op, p.in[0], p.in[1])); });
  }
  static size_t dx_bytes(const Problem& p) {
    return by_type(p.in[0],
                   [&](auto, auto passes) { return passes.dx_bytes(kernels, shape(p.op, p.out[0], p.in[1])); });
  }
  static size_t dw_bytes(const Problem& p) {
    return by_type(p.in[0],
                   [&](auto, auto passes) { return passes.dw_bytes(kernels, shape(p.op, p.in[1], p.out[0])); });
  }
};
template <const auto& kernels>
using Conv2dGemm = GemmRows<kernels, conv2d_shape>;

inline Conv2dShape linear_shape(const Op*, const Spec& x, const Spec& w) {
  return {x.shape[0], x.shape[1], 1, 1, w.shape[0], 1, 1, 1, 1, 1, 0};
}
template <const GemmKernels& kernels>
struct LinearGemm : GemmRows<kernels, linear_shape> {
  static void forward(const Args& a) {  // of f32: x w bias -> y
    GemmRows<kernels, linear_shape>::forward(a);
    float* y = a.out[0].as<float>();
    const float* bias = a.in[2].as<float>();
    const Shape& shape = a.out[0].spec.shape;
    for (int64_t n = 0; n < shape[0]; ++n)
      for (int64_t k = 0; k < shape[1]; ++k) *y++ += bias[k];
  }
};

std::string refuse_conv2d_gemm(const Problem& p);
std::string refuse_conv2d_gemm_of_pairs(const Problem& p);

}  // namespace rt::cpu
