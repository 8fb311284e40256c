// The transforms, factored: 14 operations for six values instead of the 26 of the bare matrix. With a = d filtered by
// x^2 - 1 (the points 1 and -1) and g = d filtered by (x - 1/2)(x + 2), every row of B^T is one step from a or g.
#include "kernels/winograd_simd.hpp"

#include "kernels/gemm_simd.hpp"
#include "kernels/simd.hpp"

namespace rt::RT_ISA {
namespace {

#define RT_INLINE inline __attribute__((always_inline))

constexpr int columns = 2 * lanes;  // of a panel, as in gemm_simd.cpp

RT_INLINE void window_line(const Vec* d, Vec* v) {  // v = B^T d
  const Vec a0 = d[2] - d[0], a1 = d[3] - d[1], a2 = d[4] - d[2], a3 = d[5] - d[3];
  const Vec g0 = a0 + 1.5f * d[1], g1 = a1 + 1.5f * d[2], g2 = a2 + 1.5f * d[3], g3 = a3 + 1.5f * d[4];
  v[0] = g2 - g0;
  v[1] = g2 + g1;
  v[2] = g2 - g1;
  v[3] = a2 + 2.0f * a1;
  v[4] = a2 - 0.5f * a1;
  v[5] = g3 - g1;
}

RT_INLINE void window_line_adjoint(const Vec* v, Vec* d) {  // d = B v
  const Vec g1 = v[1] - v[2] - v[5], g2 = v[1] + v[2] + v[0];
  const Vec a1 = g1 + 2.0f * v[3] - 0.5f * v[4], a2 = g2 + (v[3] + v[4]);
  d[0] = v[0];
  d[1] = -1.5f * v[0] - a1;
  d[2] = 1.5f * g1 - v[0] - a2;
  d[3] = 1.5f * g2 + a1 - v[5];
  d[4] = 1.5f * v[5] + a2;
  d[5] = v[5];
}

RT_INLINE void output_line(const Vec* m, Vec* y) {  // y = A^T m
  const Vec even = m[1] + m[2], odd = m[1] - m[2];
  y[0] = (m[0] + even) + (m[3] + m[4]);
  y[1] = odd + 0.5f * m[3] - 2.0f * m[4];
  y[2] = even + 0.25f * m[3] + 4.0f * m[4];
  y[3] = (odd + m[5]) + 0.125f * m[3] - 8.0f * m[4];
}

RT_INLINE void output_line_adjoint(const Vec* y, Vec* m) {  // m = A y
  const Vec even = y[0] + y[2], odd = y[1] + y[3];
  m[0] = y[0];
  m[1] = even + odd;
  m[2] = even - odd;
  m[3] = y[0] + 0.5f * y[1] + 0.25f * y[2] + 0.125f * y[3];
  m[4] = y[0] - 2.0f * y[1] + 4.0f * y[2] - 8.0f * y[3];
  m[5] = y[3];
}

RT_INLINE void weight_line(const Vec* w, Vec* u) {  // u = G w
  const Vec even = (1 / 3.0f) * (w[0] + w[2]);
  u[0] = w[0];
  u[1] = even + (1 / 3.0f) * w[1];
  u[2] = (1 / 3.0f) * w[1] - even;
  u[3] = (-4 / 15.0f) * (4.0f * w[0] + 2.0f * w[1] + w[2]);
  u[4] = (1 / 15.0f) * (w[0] - 2.0f * w[1] + 4.0f * w[2]);
  u[5] = w[2];
}

RT_INLINE void weight_line_adjoint(const Vec* u, Vec* w) {  // w = G^T u
  const Vec even = (1 / 3.0f) * (u[1] - u[2]), p = (-4 / 15.0f) * u[3], q = (1 / 15.0f) * u[4];
  w[0] = u[0] + even + 4.0f * p + q;
  w[1] = (1 / 3.0f) * (u[1] + u[2]) + 2.0f * p - 2.0f * q;
  w[2] = even + u[5] + p + 4.0f * q;
}

// Column by column, then row by row: T = n_out x n_in applied from both sides.
template <int in, int out, void (*line)(const Vec*, Vec*), class Load, class Store>
RT_INLINE void both_sides(Load load_at, Store store_at) {
  Vec middle[out][in];
#pragma GCC unroll 6
  for (int q = 0; q < in; ++q) {
    Vec from[in], to[out];
#pragma GCC unroll 6
    for (int r = 0; r < in; ++r) from[r] = load_at(r, q);
    line(from, to);
#pragma GCC unroll 6
    for (int r = 0; r < out; ++r) middle[r][q] = to[r];
  }
#pragma GCC unroll 6
  for (int r = 0; r < out; ++r) {
    Vec to[out];
    line(middle[r], to);
#pragma GCC unroll 6
    for (int q = 0; q < out; ++q) store_at(r, q, to[q]);
  }
}

// f(tile's number in the part, image, tile row, tile column)
template <class F>
RT_INLINE void each_tile(const WinogradGrid& g, const WinogradPart& part, F f) {
  const int64_t across = g.columns(), down = g.rows();
  int64_t j = part.first % across, i = part.first / across % down, n = part.first / across / down;
  for (int64_t t = 0; t < part.tiles; ++t) {
    f(t, n, i, j);
    if (++j == across) {
      j = 0;
      if (++i == down) i = 0, ++n;
    }
  }
}

// The part [begin, end) of a window or tile of `size` pixels from pixel `start` on that lies within an image side.
struct Inside {
  int64_t begin, end;
  Inside(int64_t start, int64_t size, int64_t side)
      : begin(start < 0 ? -start : 0), end(side - start < size ? side - start : size) {}
  bool has(int64_t i) const { return i >= begin && i < end; }
  bool all(int64_t size) const { return begin == 0 && end == size; }
};

// A tile's 4x4 new pixels, of one vector of channels; for the tile below, whose rows no hardware prefetcher expects.
template <int write>
RT_INLINE void prefetch_tile(const float* at, int64_t pitch, int64_t c) {
#pragma GCC unroll 4
  for (int r = 0; r < 4; ++r)
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) __builtin_prefetch(at + r * pitch + q * c, write, 2);
}

template <bool edge>
void window(const float* at, int64_t pitch, int64_t c, const Inside& rows, const Inside& cols, float* v, int64_t plane,
            int64_t channels) {
  for (int64_t k = 0; k < channels; k += lanes) {
    if (k % 16 == 0) prefetch_tile<0>(at + 6 * pitch + c + k, pitch, c);
    both_sides<6, 6, window_line>(
        [&](int r, int q) {
          return !edge || (rows.has(r) && cols.has(q)) ? load(at + r * pitch + q * c + k) : Vec{};
        },
        [&](int r, int q, Vec x) { store(v + (r * 6 + q) * plane + k, x); });
  }
}

void windows(const WinogradGrid& g, const WinogradPart& part, const float* x, WinogradPlanes v) {
  each_tile(g, part, [&](int64_t t, int64_t n, int64_t i, int64_t j) {
    const Inside rows(4 * i - 1, 6, g.h), cols(4 * j - 1, 6, g.w);
    const float* at = x + ((n * g.h + 4 * i - 1) * g.w + 4 * j - 1) * g.channels + part.channel;
    const bool edge = !rows.all(6) || !cols.all(6);
    (edge ? window<true> : window<false>)(at, g.w * g.channels, g.channels, rows, cols, v.data + t * v.row, v.plane,
                                          part.channels);
  });
}

template <bool edge>
void output(const float* m, int64_t plane, const Inside& rows, const Inside& cols, float* at, int64_t pitch, int64_t c,
            int64_t channels) {
  for (int64_t k = 0; k < channels; k += lanes) {
    if (k % 16 == 0) prefetch_tile<1>(at + 4 * pitch + k, pitch, c);
    both_sides<6, 4, output_line>([&](int r, int q) { return load(m + (r * 6 + q) * plane + k); },
                                  [&](int r, int q, Vec y) {
                                    if (!edge || (rows.has(r) && cols.has(q))) store(at + r * pitch + q * c + k, y);
                                  });
  }
}

void outputs(const WinogradGrid& g, const WinogradPart& part, WinogradPlanes m, float* y) {
  each_tile(g, part, [&](int64_t t, int64_t n, int64_t i, int64_t j) {
    const Inside rows(4 * i, 4, g.h), cols(4 * j, 4, g.w);
    float* at = y + ((n * g.h + 4 * i) * g.w + 4 * j) * g.channels + part.channel;
    const bool edge = !rows.all(4) || !cols.all(4);
    (edge ? output<true> : output<false>)(m.data + t * m.row, m.plane, rows, cols, at, g.w * g.channels, g.channels,
                                          part.channels);
  });
}

template <bool edge>
void gradient(const float* at, int64_t pitch, int64_t c, const Inside& rows, const Inside& cols, float* m,
              int64_t plane, int64_t channels) {
  for (int64_t k = 0; k < channels; k += lanes) {
    if (k % 16 == 0) prefetch_tile<0>(at + 4 * pitch + k, pitch, c);
    both_sides<4, 6, output_line_adjoint>(
        [&](int r, int q) {
          return !edge || (rows.has(r) && cols.has(q)) ? load(at + r * pitch + q * c + k) : Vec{};
        },
        [&](int r, int q, Vec x) { store(m + (r * 6 + q) * plane + k, x); });
  }
}

void gradients(const WinogradGrid& g, const WinogradPart& part, const float* dy, WinogradPlanes m) {
  each_tile(g, part, [&](int64_t t, int64_t n, int64_t i, int64_t j) {
    const Inside rows(4 * i, 4, g.h), cols(4 * j, 4, g.w);
    const float* at = dy + ((n * g.h + 4 * i) * g.w + 4 * j) * g.channels + part.channel;
    const bool edge = !rows.all(4) || !cols.all(4);
    (edge ? gradient<true> : gradient<false>)(at, g.w * g.channels, g.channels, rows, cols, m.data + t * m.row, m.plane,
                                              part.channels);
  });
}

// Rows before `add_rows` and columns before `add_cols` of the window were reached by an earlier tile.
template <bool edge>
void input_gradient(const float* v, int64_t plane, const Inside& rows, const Inside& cols, int add_rows, int add_cols,
                    float* at, int64_t pitch, int64_t c, int64_t channels) {
  for (int64_t k = 0; k < channels; k += lanes) {
    if (k % 16 == 0) prefetch_tile<1>(at + 6 * pitch + c + k, pitch, c);
    both_sides<6, 6, window_line_adjoint>([&](int r, int q) { return load(v + (r * 6 + q) * plane + k); },
                                          [&](int r, int q, Vec d) {
                                            if (edge && !(rows.has(r) && cols.has(q))) return;
                                            float* to = at + r * pitch + q * c + k;
                                            store(to, r < add_rows || q < add_cols ? load(to) + d : d);
                                          });
  }
}

void input_gradients(const WinogradGrid& g, const WinogradPart& part, WinogradPlanes v, float* dx) {
  each_tile(g, part, [&](int64_t t, int64_t n, int64_t i, int64_t j) {
    const Inside rows(4 * i - 1, 6, g.h), cols(4 * j - 1, 6, g.w);
    float* at = dx + ((n * g.h + 4 * i - 1) * g.w + 4 * j - 1) * g.channels + part.channel;
    const bool edge = !rows.all(6) || !cols.all(6);
    (edge ? input_gradient<true> : input_gradient<false>)(v.data + t * v.row, v.plane, rows, cols, i > 0 ? 2 : 0,
                                                          j > 0 ? 2 : 0, at, g.w * g.channels, g.channels,
                                                          part.channels);
  });
}

// Filters by blocks of 16 along the depth, so that the weights are read in runs whichever way they lie.
constexpr int64_t filters = 16;

void weights(const float* w, int64_t column_stride, int64_t depth_stride, int64_t count, int64_t depth, float* u,
             int64_t plane) {
  alignas(64) float filter[filters][9][lanes] = {};
  for (int64_t i0 = 0; i0 < depth; i0 += filters)
    for (int64_t j0 = 0; j0 < columns; j0 += lanes) {
      for (int64_t j = 0; j < lanes; ++j)
        for (int64_t i = 0; i < filters; ++i) {
          const float* from = w + (j0 + j) * column_stride + (i0 + i) * depth_stride;
          for (int tap = 0; tap < 9; ++tap) filter[i][tap][j] = j0 + j < count ? from[tap] : 0.0f;
        }
      for (int64_t i = 0; i < filters; ++i)
        both_sides<3, 6, weight_line>(
            [&](int r, int q) { return load(filter[i][r * 3 + q]); },
            [&](int r, int q, Vec x) { store(u + (r * 6 + q) * plane + (i0 + i) * columns + j0, x); });
    }
}

void weight_gradients(const float* du, int64_t plane, int64_t row, int64_t chunks, int64_t chunk_stride,
                      int64_t column_stride, int64_t depth_stride, int64_t count, int64_t depth, float* dw) {
  alignas(64) float filter[filters][9][lanes];
  for (int64_t i0 = 0; i0 < depth; i0 += filters)
    for (int64_t j0 = 0; j0 < count; j0 += lanes) {
      for (int64_t i = 0; i < filters; ++i)
        both_sides<6, 3, weight_line_adjoint>(
            [&](int r, int q) {
              const float* from = du + (r * 6 + q) * plane + (i0 + i) * row + j0;
              Vec sum = load(from);
              for (int64_t chunk = 1; chunk < chunks; ++chunk) sum += load(from + chunk * chunk_stride);
              return sum;
            },
            [&](int r, int q, Vec x) { store(filter[i][r * 3 + q], x); });
      for (int64_t j = 0; j < lanes; ++j)
        for (int64_t i = 0; i < filters; ++i) {
          float* to = dw + (j0 + j) * column_stride + (i0 + i) * depth_stride;
          for (int tap = 0; tap < 9; ++tap) to[tap] = filter[i][tap][j];
        }
    }
}

}  // namespace

extern const WinogradKernels winograd_kernels = {windows, outputs,          gradients, input_gradients,
                                                 weights, weight_gradients};

}  // namespace rt::RT_ISA
