// Reference classifier: loops with sums in f64.
#include "kernels/linear/linear.hpp"
#include "kernels/reference.hpp"

namespace rt::cpu::reference {
namespace {
// out[i,j] = sum over t of a[i*ai + t*at] * b[j*bj + t*bt], plus bias[j] where there is one.
template <class T>
void product(T* out, int64_t rows, int64_t columns, int64_t terms, const T* a, int64_t ai, int64_t at, const T* b,
             int64_t bj, int64_t bt, const Computed<T>* bias) {
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) {
      double sum = bias ? static_cast<double>(bias[j]) : 0.0;
      for (int64_t t = 0; t < terms; ++t)
        sum += static_cast<double>(a[i * ai + t * at]) * static_cast<double>(b[j * bj + t * bt]);
      out[i * columns + j] = static_cast<T>(sum);
    }
}
}  // namespace

void linear_forward(const Args& a) {
  const int64_t n = a.in[0].shape()[0], c = a.in[0].shape()[1], k = a.in[1].shape()[0];
  with_type(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    product<T>(a.out[0].as<T>(), n, k, c, a.in[0].as<T>(), c, 1, a.in[1].as<T>(), c, 1, a.in[2].as<Computed<T>>());
  });
}

void linear_dx(const Args& a) {
  const int64_t n = a.in[0].shape()[0], k = a.in[0].shape()[1], c = a.in[1].shape()[1];
  with_type(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    product<T>(a.out[0].as<T>(), n, c, k, a.in[0].as<T>(), k, 1, a.in[1].as<T>(), 1, c, nullptr);
  });
}

void linear_dw(const Args& a) {
  const int64_t n = a.in[0].shape()[0], k = a.in[0].shape()[1], c = a.in[1].shape()[1];
  with_type(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    product<T>(a.out[0].as<T>(), k, c, n, a.in[0].as<T>(), 1, k, a.in[1].as<T>(), 1, c, nullptr);
  });
}

void linear_dbias(const Args& a) {
  const int64_t n = a.in[0].shape()[0], k = a.in[0].shape()[1];
  with_type(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    for (int64_t j = 0; j < k; ++j) {
      double sum = 0;
      for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(a.in[0].as<T>()[i * k + j]);
      a.out[0].as<Computed<T>>()[j] = static_cast<Computed<T>>(sum);
    }
  });
}

}  // namespace rt::cpu::reference
