// Direct convolution for few output pixels and many weights, as small batches have in the last layers: the weights, which are
// all that is large then, are read or written once and as they lie. T is f32 or bf16, with sums in f32, rounded once;
// activations [N,H,W,C] in memory (nhwc), weights OIHW. Workspaces are for as many threads as are in use when they are asked.
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
std::string refuse(const Problem& p, const Spec& x, const Spec& w);
inline bool fits(const Conv2dShape& s) {
  return s.n * s.p * s.q <= most_pixels && s.r * s.s > 1 && s.c * s.r * s.s % 32 == 0;
}
}  // namespace few

template <const GemmKernels& kernels>
struct Conv2dFew {
  static void forward(const Args& a) {
    with_storage(a.in[0].spec, [&]<class T>(T) {
      few::forward(kernels, conv2d_shape(a.op, a.in[0].spec, a.in[1].spec), a.in[0].as<T>(), a.in[1].as<T>(),
                   a.out[0].as<T>(), a.workspace);
    });
  }
  static void dx(const Args& a) {
    with_storage(a.in[0].spec, [&]<class T>(T) {
      few::dx(kernels, conv2d_shape(a.op, a.out[0].spec, a.in[1].spec), a.in[0].as<T>(), a.in[1].as<T>(),
              a.out[0].as<T>(), a.workspace);
    });
  }
  static void dw(const Args& a) {
    with_storage(a.in[0].spec, [&]<class T>(T) {
      few::dw(kernels, conv2d_shape(a.op, a.in[1].spec, a.out[0].spec), a.in[0].as<T>(), a.in[1].as<T>(),
              a.out[0].as<T>(), a.workspace);
    });
  }
  static size_t forward_bytes(const Problem& p) {
    return with_storage(
        p.in[0], [&]<class T>(T) { return few::forward_bytes<T>(kernels, conv2d_shape(p.op, p.in[0], p.in[1])); });
  }
  static size_t dx_bytes(const Problem& p) {
    return with_storage(p.in[0],
                        [&]<class T>(T) { return few::dx_bytes<T>(kernels, conv2d_shape(p.op, p.out[0], p.in[1])); });
  }
  static size_t dw_bytes(const Problem& p) {
    return with_storage(p.in[0],
                        [&]<class T>(T) { return few::dw_bytes<T>(kernels, conv2d_shape(p.op, p.in[1], p.out[0])); });
  }
};

inline std::string refuse_few_forward(const Problem& p) { return few::refuse(p, p.in[0], p.in[1]); }
inline std::string refuse_few_dx(const Problem& p) { return few::refuse(p, p.out[0], p.in[1]); }
inline std::string refuse_few_dw(const Problem& p) { return few::refuse(p, p.in[1], p.out[0]); }

}  // namespace rt::cpu
