// Reference element-wise kernels. Bound by memory, so these loops are also what f32 training uses where nothing is
// fused.
#include "kernels/elementwise.hpp"
#include "kernels/reference.hpp"

namespace rt::cpu::reference {

void relu_forward(const Args& a) {
  with_type(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    const T* x = a.in[0].as<T>();
    T* y = a.out[0].as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < a.in[0].numel(); ++i) y[i] = x[i] > 0 ? x[i] : (x[i] != x[i] ? x[i] : T(0));
  });
}

void relu_backward(const Args& a) {
  with_type(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    const T *dy = a.in[0].as<T>(), *y = a.in[1].as<T>();
    T* dx = a.out[0].as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < a.in[0].numel(); ++i) dx[i] = y[i] > 0 ? dy[i] : T(0);
  });
}

void add(const Args& a) {
  with_type(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    const T *p = a.in[0].as<T>(), *q = a.in[1].as<T>();
    T* y = a.out[0].as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < a.in[0].numel(); ++i) y[i] = p[i] + q[i];
  });
}

void convert(const Args& a) {
  if (a.in[0].spec.dtype != a.out[0].spec.dtype || a.in[0].shape().rank() != 4) return copy_convert(a.in[0], a.out[0]);
  const Strides from = a.in[0].spec.strides(), to = a.out[0].spec.strides();
  const Shape& s = a.in[0].shape();
  with_type(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    const T* x = a.in[0].as<T>();
    T* y = a.out[0].as<T>();
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t n = 0; n < s.n(); ++n)
      for (int64_t h = 0; h < s.h(); ++h)
        for (int64_t w = 0; w < s.w(); ++w)
          for (int64_t c = 0; c < s.c(); ++c)
            y[n * to.n + c * to.c + h * to.h + w * to.w] = x[n * from.n + c * from.c + h * from.h + w * from.w];
  });
}

}  // namespace rt::cpu::reference
