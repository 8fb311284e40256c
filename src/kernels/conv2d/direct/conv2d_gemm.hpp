// Direct convolution as matrix products on the CPU, for any shape, stride and padding: activations [N,H,W,C] in memory
// (nhwc) and weights OIHW, both of type T, f32 or bf16; sums in f32, rounded once. A classifier is a 1x1 convolution of
// 1x1 images. `workspace` is 64-byte aligned and holds the bytes that the *_bytes function beside it says, for as many
// threads as are in use when it is asked. Element: what the matrix product multiplies; exist for the pairs of
// conv2d_windows.hpp.
#pragma once
#include "kernels/conv2d/conv2d.hpp"
#include "kernels/gemm/gemm_simd.hpp"
#include "kernels/simd/rows.hpp"

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

// The passes with an instruction set's kernels, as conv2d_row.hpp takes them.
template <const auto& kernels>
struct GemmPasses {
  template <class T, class Element>
  static gemm::Passes<T, Element> passes(const GemmKernelsOf<Element>&);

  template <class T>
  struct Of {
    using Passes = decltype(passes<T>(kernels));
    static void forward(const Conv2dShape& s, const T* x, const T* w, T* y, void* workspace) {
      Passes::forward(kernels, s, x, w, y, workspace);
    }
    static void dx(const Conv2dShape& s, const T* dy, const T* w, T* dx, void* workspace) {
      Passes::dx(kernels, s, dy, w, dx, workspace);
    }
    static void dw(const Conv2dShape& s, const T* dy, const T* x, T* dw, void* workspace) {
      Passes::dw(kernels, s, dy, x, dw, workspace);
    }
    static size_t forward_bytes(const Conv2dShape& s) { return Passes::forward_bytes(kernels, s); }
    static size_t dx_bytes(const Conv2dShape& s) { return Passes::dx_bytes(kernels, s); }
    static size_t dw_bytes(const Conv2dShape& s) { return Passes::dw_bytes(kernels, s); }
  };
  static constexpr bool takes_f32 = std::is_same_v<decltype(kernels), const GemmKernels&>;

  // f(T{}, Of<T>{}), by how the values lie in memory
  template <class F>
  static auto by_type(const Spec& x, F&& f) {
    if constexpr (takes_f32)
      if (x.dtype == DType::f32) return f(float{}, Of<float>{});
    return f(bf16{}, Of<bf16>{});
  }
};

template <const auto& kernels>
struct Conv2dGemm : GemmPasses<kernels> {
  template <class Step>
  static Conv2dShape shape(const Step& step) {
    return conv2d_shape(step);
  }
};

std::string refuse_conv2d_gemm(const Problem& p);
std::string refuse_conv2d_gemm_of_pairs(const Problem& p);

}  // namespace rt::cpu
