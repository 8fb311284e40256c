#include "kernels/elementwise/elementwise_simd.hpp"

#include "kernels/simd/memory_simd.hpp"

namespace rt::RT_ISA {
namespace {

template <class T, class F>
void write_all(T* out, int64_t n, bool stream, F f) {
  if (stream) {
    write<true>(out, n, f);
    finish_writes<true>();
  } else {
    write<false>(out, n, f);
  }
}

template <class T>
void relu(const T* x, T* y, int64_t n, bool stream) {
  write_all(y, n, stream, [=](auto at) { return positive(at(x)); });
}
template <class T>
void relu_backward(const T* dy, const T* y, T* dx, int64_t n, bool stream) {
  write_all(dx, n, stream, [=](auto at) { return where_positive(at(y), at(dy)); });
}
template <class T, class B>
void add(const T* a, const B* b, T* y, int64_t n, bool stream) {
  write_all(y, n, stream, [=](auto at) { return at(a) + at(b); });
}

}  // namespace

extern const ElementwiseKernels elementwise_kernels;  // kernels/isa.hpp declares it, for each instruction set
const ElementwiseKernels elementwise_kernels = {{relu, relu_backward, add}, {relu, relu_backward, add}, add};

}  // namespace rt::RT_ISA
