// Reference pooling. Channels are the inner loop, which is the fast order in NHWC and correct in both.
#include <algorithm>

#include "core/op.hpp"
#include "kernels/pool/pool.hpp"
#include "kernels/reference.hpp"

namespace rt::cpu::reference {

void max_pool_forward(const Args& a) {
  const MaxPoolAttrs& m = max_pool_attrs(a.ops);
  const Shape &in = a.in[0].shape(), &out = a.out[0].shape();
  const Strides xs = a.in[0].spec.strides(), ys = a.out[0].spec.strides();
  with_type(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    const T* x = a.in[0].as<T>();
    T* y = a.out[0].as<T>();
    uint8_t* index = a.out[1].as<uint8_t>();
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t n = 0; n < out.n(); ++n)
      for (int64_t p = 0; p < out.h(); ++p)
        for (int64_t q = 0; q < out.w(); ++q) {
          bool first = true;
          for (int64_t r = 0; r < m.kernel; ++r)
            for (int64_t s = 0; s < m.kernel; ++s) {
              const int64_t h = p * m.stride - m.pad + r, w = q * m.stride - m.pad + s;
              if (h < 0 || h >= in.h() || w < 0 || w >= in.w()) continue;
              const T* xp = x + n * xs.n + h * xs.h + w * xs.w;
              T* yp = y + n * ys.n + p * ys.h + q * ys.w;
              uint8_t* ip = index + n * ys.n + p * ys.h + q * ys.w;
              for (int64_t c = 0; c < in.c(); ++c) {
                const T v = xp[c * xs.c];
                if (first || v > yp[c * ys.c] || v != v) {  // a NaN wins, as in PyTorch
                  yp[c * ys.c] = v;
                  ip[c * ys.c] = static_cast<uint8_t>(r * m.kernel + s);
                }
              }
              first = false;
            }
        }
  });
}

void max_pool_backward(const Args& a) {
  const MaxPoolAttrs& m = max_pool_attrs(a.ops);
  const Shape &in = a.out[0].shape(), &out = a.in[0].shape();
  const Strides xs = a.out[0].spec.strides(), ys = a.in[0].spec.strides();
  with_type(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    const T* dy = a.in[0].as<T>();
    const uint8_t* index = a.in[1].as<uint8_t>();
    T* dx = a.out[0].as<T>();
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t n = 0; n < in.n(); ++n)
      for (int64_t h = 0; h < in.h(); ++h)
        for (int64_t w = 0; w < in.w(); ++w)
          for (int64_t c = 0; c < in.c(); ++c) {
            Computed<T> sum = 0;
            for (int64_t r = m.kernel - 1; r >= 0; --r)  // the windows that cover this place, in their order in memory
              for (int64_t s = m.kernel - 1; s >= 0; --s) {
                const int64_t p = (h + m.pad - r) / m.stride, q = (w + m.pad - s) / m.stride;
                if (h + m.pad < r || w + m.pad < s || p * m.stride != h + m.pad - r || q * m.stride != w + m.pad - s)
                  continue;
                if (p >= out.h() || q >= out.w()) continue;
                const int64_t o = n * ys.n + p * ys.h + q * ys.w + c * ys.c;
                if (index[o] == r * m.kernel + s) sum += dy[o];
              }
            dx[n * xs.n + h * xs.h + w * xs.w + c * xs.c] = static_cast<T>(sum);
          }
  });
}

void avg_pool_forward(const Args& a) {
  const Shape& s = a.in[0].shape();
  const Strides xs = a.in[0].spec.strides();
  with_type(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    const T* x = a.in[0].as<T>();
    T* y = a.out[0].as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < s.n(); ++n)
      for (int64_t c = 0; c < s.c(); ++c) {
        double sum = 0;
        for (int64_t h = 0; h < s.h(); ++h)
          for (int64_t w = 0; w < s.w(); ++w) sum += static_cast<double>(x[n * xs.n + c * xs.c + h * xs.h + w * xs.w]);
        y[n * s.c() + c] = static_cast<T>(sum / static_cast<double>(s.h() * s.w()));
      }
  });
}

void avg_pool_backward(const Args& a) {
  const Shape& s = a.out[0].shape();
  const Strides xs = a.out[0].spec.strides();
  with_type(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    const T* dy = a.in[0].as<T>();
    T* dx = a.out[0].as<T>();
    const Computed<T> area = static_cast<Computed<T>>(s.h() * s.w());
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < s.n(); ++n)
      for (int64_t h = 0; h < s.h(); ++h)
        for (int64_t w = 0; w < s.w(); ++w)
          for (int64_t c = 0; c < s.c(); ++c)
            dx[n * xs.n + c * xs.c + h * xs.h + w * xs.w] = static_cast<T>(dy[n * s.c() + c] / area);
  });
}

}  // namespace rt::cpu::reference
