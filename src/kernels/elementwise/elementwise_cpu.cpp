// Reference element-wise kernels. Bound by memory, so convert's loops are also what training uses.
#include "kernels/elementwise/elementwise.hpp"
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
    const T* p = a.in[0].as<T>();
    T* y = a.out[0].as<T>();
    with_type(a.in[1], [&](auto other) {
      const auto* q = a.in[1].as<decltype(other)>();
#pragma omp parallel for schedule(static)
      for (int64_t i = 0; i < a.in[0].numel(); ++i) y[i] = static_cast<T>(p[i] + q[i]);
    });
  });
}

static void convert(const View& from_view, const View& to_view) {
  const Spec &in = from_view.spec, &out = to_view.spec;
  with_type(from_view, [&](auto from_zero) {
    with_type(to_view, [&](auto to_zero) {
      using From = decltype(from_zero);
      using To = decltype(to_zero);
      const From* x = from_view.as<From>();
      To* y = to_view.as<To>();
      if (in.shape.rank() != 4 || in.layout == out.layout) {
#pragma omp parallel for schedule(static)
        for (int64_t i = 0; i < in.shape.numel(); ++i) y[i] = static_cast<To>(x[i]);
        return;
      }
      const Strides from = in.strides(), to = out.strides();
      const Shape& s = in.shape;
#pragma omp parallel for collapse(2) schedule(static)
      for (int64_t n = 0; n < s.n(); ++n)
        for (int64_t h = 0; h < s.h(); ++h)
          for (int64_t w = 0; w < s.w(); ++w)
            for (int64_t c = 0; c < s.c(); ++c)
              y[n * to.n + c * to.c + h * to.h + w * to.w] =
                  static_cast<To>(x[n * from.n + c * from.c + h * from.h + w * from.w]);
    });
  });
}
void convert(const Args& a) {
  for (size_t k = 0; k < a.in.size(); ++k) convert(a.in[k], a.out[k]);
}

}  // namespace rt::cpu::reference
