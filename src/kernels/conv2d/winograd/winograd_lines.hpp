// For winograd_simd.cpp only: the transforms of one line, once per stride; winograd_simd.hpp has the mathematics. Lines
// are factored: the six values of a window take 14 operations instead of the 26 of the bare matrix. With a = d filtered
// by x^2 - 1 (the points 1 and -1) and g = d filtered by (x - 1/2)(x + 2), every row of B^T is one step from a or g.
#pragma once
#include "kernels/simd/simd.hpp"

namespace rt::RT_ISA {

struct Stride1 {
  static constexpr int window_size = 6, step = 4, values = 6;

  static RT_INLINE void window(const Vec* d, Vec* v) {  // v = B^T d
    const Vec a0 = d[2] - d[0], a1 = d[3] - d[1], a2 = d[4] - d[2], a3 = d[5] - d[3];
    const Vec g0 = a0 + 1.5f * d[1], g1 = a1 + 1.5f * d[2], g2 = a2 + 1.5f * d[3], g3 = a3 + 1.5f * d[4];
    v[0] = g2 - g0;
    v[1] = g2 + g1;
    v[2] = g2 - g1;
    v[3] = a2 + 2.0f * a1;
    v[4] = a2 - 0.5f * a1;
    v[5] = g3 - g1;
  }

  static RT_INLINE void window_adjoint(const Vec* v, Vec* d) {  // d = B v
    const Vec g1 = v[1] - v[2] - v[5], g2 = v[1] + v[2] + v[0];
    const Vec a1 = g1 + 2.0f * v[3] - 0.5f * v[4], a2 = g2 + (v[3] + v[4]);
    d[0] = v[0];
    d[1] = -1.5f * v[0] - a1;
    d[2] = 1.5f * g1 - v[0] - a2;
    d[3] = 1.5f * g2 + a1 - v[5];
    d[4] = 1.5f * v[5] + a2;
    d[5] = v[5];
  }

  static RT_INLINE void output(const Vec* m, Vec* y) {  // y = A^T m
    const Vec even = m[1] + m[2], odd = m[1] - m[2];
    y[0] = (m[0] + even) + (m[3] + m[4]);
    y[1] = odd + 0.5f * m[3] - 2.0f * m[4];
    y[2] = even + 0.25f * m[3] + 4.0f * m[4];
    y[3] = (odd + m[5]) + 0.125f * m[3] - 8.0f * m[4];
  }

  static RT_INLINE void output_adjoint(const Vec* y, Vec* m) {  // m = A y
    const Vec even = y[0] + y[2], odd = y[1] + y[3];
    m[0] = y[0];
    m[1] = even + odd;
    m[2] = even - odd;
    m[3] = y[0] + 0.5f * y[1] + 0.25f * y[2] + 0.125f * y[3];
    m[4] = y[0] - 2.0f * y[1] + 4.0f * y[2] - 8.0f * y[3];
    m[5] = y[3];
  }

  static RT_INLINE void weight(const Vec* w, Vec* u) {  // u = G w
    const Vec even = (1 / 3.0f) * (w[0] + w[2]);
    u[0] = w[0];
    u[1] = even + (1 / 3.0f) * w[1];
    u[2] = (1 / 3.0f) * w[1] - even;
    u[3] = (-4 / 15.0f) * (4.0f * w[0] + 2.0f * w[1] + w[2]);
    u[4] = (1 / 15.0f) * (w[0] - 2.0f * w[1] + 4.0f * w[2]);
    u[5] = w[2];
  }

  static RT_INLINE void weight_adjoint(const Vec* u, Vec* w) {  // w = G^T u
    const Vec even = (1 / 3.0f) * (u[1] - u[2]), p = (-4 / 15.0f) * u[3], q = (1 / 15.0f) * u[4];
    w[0] = u[0] + even + 4.0f * p + q;
    w[1] = (1 / 3.0f) * (u[1] + u[2]) + 2.0f * p - 2.0f * q;
    w[2] = even + u[5] + p + 4.0f * q;
  }
};

struct Stride2 {
  static constexpr int window_size = 9, step = 8, values = 9;

  static RT_INLINE void window(const Vec* d, Vec* v) {
    const Vec g0 = d[2] - 0.5f * d[0], g1 = d[4] - 0.5f * d[2], g2 = d[6] - 0.5f * d[4], g3 = d[8] - 0.5f * d[6];
    v[0] = g2 - g0;
    v[1] = g2 + g1;
    v[2] = g2 - g1;
    v[3] = d[6] - d[2];
    v[4] = g3 - g1;
    for (int i = 0; i < 4; ++i) v[5 + i] = d[1 + 2 * i];
  }

  static RT_INLINE void window_adjoint(const Vec* v, Vec* d) {
    const Vec g1 = v[1] - v[2] - v[4], g2 = v[1] + v[2] + v[0];
    d[0] = 0.5f * v[0];
    d[2] = -0.5f * g1 - v[0] - v[3];
    d[4] = g1 - 0.5f * g2;
    d[6] = g2 + v[3] - 0.5f * v[4];
    d[8] = v[4];
    for (int i = 0; i < 4; ++i) d[1 + 2 * i] = v[5 + i];
  }

  static RT_INLINE void output(const Vec* m, Vec* y) {
    const Vec even = m[1] + m[2], odd = m[1] - m[2];
    y[0] = (m[0] + even) + (m[3] + m[5]);
    y[1] = (odd + m[6]) + 0.5f * m[3];
    y[2] = (even + m[7]) + 0.25f * m[3];
    y[3] = (odd + m[8]) + 0.125f * m[3] + m[4];
  }

  static RT_INLINE void output_adjoint(const Vec* y, Vec* m) {
    const Vec even = y[0] + y[2], odd = y[1] + y[3];
    m[0] = y[0];
    m[1] = even + odd;
    m[2] = even - odd;
    m[3] = y[0] + 0.5f * y[1] + 0.25f * y[2] + 0.125f * y[3];
    m[4] = y[3];
    for (int i = 0; i < 4; ++i) m[5 + i] = y[i];
  }

  static RT_INLINE void weight(const Vec* w, Vec* u) {
    u[0] = 2.0f * w[0];
    u[1] = w[0] + w[2];
    u[2] = (1 / 3.0f) * (w[2] - w[0]);
    u[3] = (-4 / 3.0f) * (2.0f * w[0] + w[2]);
    u[4] = w[2];
    u[5] = w[1];
  }

  static RT_INLINE void weight_adjoint(const Vec* u, Vec* w) {
    const Vec p = (1 / 3.0f) * u[2], q = (-4 / 3.0f) * u[3];
    w[0] = 2.0f * (u[0] + q) + u[1] - p;
    w[1] = u[5];
    w[2] = u[1] + p + q + u[4];
  }
};

// Column by column, then row by row: a line's transform applied from both sides.
template <int in, int out, void (*line)(const Vec*, Vec*), class Load, class Store>
RT_INLINE void both_sides(Load load_at, Store store_at) {
  Vec middle[out][in];
#pragma GCC unroll 9
  for (int q = 0; q < in; ++q) {
    Vec from[in], to[out];
#pragma GCC unroll 9
    for (int r = 0; r < in; ++r) from[r] = load_at(r, q);
    line(from, to);
#pragma GCC unroll 9
    for (int r = 0; r < out; ++r) middle[r][q] = to[r];
  }
#pragma GCC unroll 9
  for (int r = 0; r < out; ++r) {
    Vec to[out];
    line(middle[r], to);
#pragma GCC unroll 9
    for (int q = 0; q < out; ++q) store_at(r, q, to[q]);
  }
}

}  // namespace rt::RT_ISA
