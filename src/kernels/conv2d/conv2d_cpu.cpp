// Reference convolution: the definition as loops, any layout, sums in f64. Every other row is tested against it.
#include <algorithm>

#include "core/op.hpp"
#include "kernels/batch_norm/batch_norm.hpp"
#include "kernels/conv2d/conv2d.hpp"
#include "kernels/reference.hpp"

namespace rt::cpu::reference {
namespace {
// Outputs p whose input row p*stride-pad+r lies in [0, size): [first, last).
struct Range {
  int64_t first, last;
};
Range valid(int64_t r, int64_t size, int64_t outputs, int stride, int pad) {
  const int64_t first = std::max<int64_t>(0, (pad - r + stride - 1) / stride);
  const int64_t room = size - 1 + pad - r;
  return {first, room < 0 ? 0 : std::min(outputs, room / stride + 1)};
}
}  // namespace

void conv2d_forward(const Args& a) {
  const Conv2dShape s = conv2d_shape(a.ops, a.in[0].spec, a.in[1].spec);
  with_type(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    const T *x = a.in[0].as<T>(), *weights = a.in[1].as<T>();
    T* y = a.out[0].as<T>();
    const Strides xs = a.in[0].spec.strides(), ys = a.out[0].spec.strides(), ws = a.in[1].spec.strides();
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t n = 0; n < s.n; ++n)
      for (int64_t k = 0; k < s.k; ++k)
        for (int64_t p = 0; p < s.p; ++p)
          for (int64_t q = 0; q < s.q; ++q) {
            double sum = 0;
            for (int64_t r = 0; r < s.r; ++r)
              for (int64_t t = 0; t < s.s; ++t) {
                const int64_t h = p * s.stride - s.pad + r, w = q * s.stride - s.pad + t;
                if (h < 0 || h >= s.h || w < 0 || w >= s.w) continue;
                const T *xp = x + n * xs.n + h * xs.h + w * xs.w, *wp = weights + k * ws.n + r * ws.h + t * ws.w;
                for (int64_t c = 0; c < s.c; ++c)
                  sum += static_cast<double>(xp[c * xs.c]) * static_cast<double>(wp[c * ws.c]);
              }
            y[n * ys.n + k * ys.c + p * ys.h + q * ys.w] = static_cast<T>(sum);
          }
  });
}

void conv2d_dx(const Args& a) {
  const Conv2dShape s = conv2d_shape(a.ops, a.out[0].spec, a.in[1].spec);
  with_type(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    const T *dy = a.in[0].as<T>(), *weights = a.in[1].as<T>();
    T* dx = a.out[0].as<T>();
    const Strides ys = a.in[0].spec.strides(), xs = a.out[0].spec.strides(), ws = a.in[1].spec.strides();
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t n = 0; n < s.n; ++n)
      for (int64_t c = 0; c < s.c; ++c)
        for (int64_t h = 0; h < s.h; ++h)
          for (int64_t w = 0; w < s.w; ++w) {
            double sum = 0;
            for (int64_t r = 0; r < s.r; ++r)
              for (int64_t t = 0; t < s.s; ++t) {
                const int64_t padded_h = h + s.pad - r, padded_w = w + s.pad - t;
                if (padded_h < 0 || padded_w < 0 || padded_h % s.stride || padded_w % s.stride) continue;
                const int64_t p = padded_h / s.stride, q = padded_w / s.stride;
                if (p >= s.p || q >= s.q) continue;
                const T *dyp = dy + n * ys.n + p * ys.h + q * ys.w, *wp = weights + c * ws.c + r * ws.h + t * ws.w;
                for (int64_t k = 0; k < s.k; ++k)
                  sum += static_cast<double>(dyp[k * ys.c]) * static_cast<double>(wp[k * ws.n]);
              }
            dx[n * xs.n + c * xs.c + h * xs.h + w * xs.w] = static_cast<T>(sum);
          }
  });
}

void conv2d_dw(const Args& a) {
  const Conv2dShape s = conv2d_shape(a.ops, a.in[1].spec, a.out[0].spec);
  with_type(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    const T *dy = a.in[0].as<T>(), *x = a.in[1].as<T>();
    T* dw = a.out[0].as<T>();
    const Strides ys = a.in[0].spec.strides(), xs = a.in[1].spec.strides(), ws = a.out[0].spec.strides();
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t k = 0; k < s.k; ++k)
      for (int64_t c = 0; c < s.c; ++c)
        for (int64_t r = 0; r < s.r; ++r)
          for (int64_t t = 0; t < s.s; ++t) {
            double sum = 0;
            const Range ps = valid(r, s.h, s.p, s.stride, s.pad), qs = valid(t, s.w, s.q, s.stride, s.pad);
            for (int64_t n = 0; n < s.n; ++n)
              for (int64_t p = ps.first; p < ps.last; ++p)
                for (int64_t q = qs.first; q < qs.last; ++q)
                  sum += static_cast<double>(dy[n * ys.n + k * ys.c + p * ys.h + q * ys.w]) *
                         static_cast<double>(x[n * xs.n + c * xs.c + (p * s.stride - s.pad + r) * xs.h +
                                               (q * s.stride - s.pad + t) * xs.w]);
            dw[k * ws.n + c * ws.c + r * ws.h + t * ws.w] = static_cast<T>(sum);
          }
  });
}

void conv2d_forward_stats(const Args& a) {
  conv2d_forward({.kind = kinds::conv2d_forward, .ops = a.ops, .in = a.in, .out = a.out.first(1)});
  batch_norm_stats({.kind = kinds::batch_norm_stats, .ops = a.ops, .in = a.out.first(1), .out = a.out.subspan(1)});
}

}  // namespace rt::cpu::reference
