// Direct convolution for few output pixels and many weights, as small batches have in the last layers: the weights,
// which are all that is large then, are read or written once and as they lie. T is f32 or bf16, with sums in f32,
// rounded once; activations [N,H,W,C] in memory (nhwc), weights OIHW. Workspaces are for as many threads as are in use
// when they are asked.
#pragma once
#include "kernels/conv2d/direct/conv2d_gemm.hpp"

namespace rt::cpu {

namespace few {
constexpr int64_t most_pixels = 64;  // of the whole batch
template <class T>
void forward(const GemmKernels& kernels, const Conv2dShape& s, const T* x, const T* w, T* y, void* workspace);
template <class T>
void dx(const GemmKernels& kernels, const Conv2dShape& s, const T* dy, const T* w, T* dx, void* workspace);
template <class T>
void dw(const GemmKernels& kernels, const Conv2dShape& s, const T* dy, const T* x, T* dw, void* workspace);
template <class T>
size_t forward_bytes(const GemmKernels& kernels, const Conv2dShape& s);
template <class T>
size_t dx_bytes(const GemmKernels& kernels, const Conv2dShape& s);
template <class T>
size_t dw_bytes(const GemmKernels& kernels, const Conv2dShape& s);
inline bool fits(const Conv2dShape& s) {
  return s.n * s.p * s.q <= most_pixels && s.r * s.s > 1 && s.c * s.r * s.s % 32 == 0;
}
}  // namespace few

// The passes with an instruction set's kernels, as conv2d_row.hpp takes them.
template <const GemmKernels& kernels>
struct Conv2dFew {
  template <class T>
  struct Of {
    static void forward(const Conv2dShape& s, const T* x, const T* w, T* y, void* workspace) {
      few::forward(kernels, s, x, w, y, workspace);
    }
    static void dx(const Conv2dShape& s, const T* dy, const T* w, T* dx, void* workspace) {
      few::dx(kernels, s, dy, w, dx, workspace);
    }
    static void dw(const Conv2dShape& s, const T* dy, const T* x, T* dw, void* workspace) {
      few::dw(kernels, s, dy, x, dw, workspace);
    }
    static size_t forward_bytes(const Conv2dShape& s) { return few::forward_bytes<T>(kernels, s); }
    static size_t dx_bytes(const Conv2dShape& s) { return few::dx_bytes<T>(kernels, s); }
    static size_t dw_bytes(const Conv2dShape& s) { return few::dw_bytes<T>(kernels, s); }
  };
  template <class F>
  static auto by_type(const Spec& x, F&& f) {
    return with_storage(x, [&]<class T>(T zero) { return f(zero, Of<T>{}); });
  }
  template <class Step>
  static Conv2dShape shape(const Step& step) {
    return conv2d_shape(step);
  }
};

std::string refuse_conv2d_few(const Problem& p);

}  // namespace rt::cpu
