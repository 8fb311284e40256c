// The matrix product of bf16 pairs in tiles (AMX). One instruction adds to a tile of 16 x 16 sums in f32 the product of
// a tile of 16 rows of 16 pairs and a tile of 16 pairs for each of 16 columns, which is just how A and a panel of B lie
// in memory. What limits the product is how many lines the L2 cache delivers. Four tiles of sums share two of A and two
// of B. In products of windows, which overlap and so stay in the L1 cache, four tiles of A share one of B. An A whose
// rows lie side by side is transposed first, 32 rows at a time. A sum adds up in blocks of 16 pairs, in each block the
// first numbers of the pairs apart from the second; numbers below 1.2e-38 count as zero.
#include "kernels/gemm/gemm_simd.hpp"
#include "kernels/simd/eight_simd.hpp"
#ifdef RT_TILES
#include RT_TILES
#else
#include <immintrin.h>
#endif

namespace rt::RT_ISA {
namespace {

using Block = GemmBlockOf<Bf16Pair>;

constexpr int side = 16;  // rows of a tile, and the four-byte numbers of a row
constexpr int rows = 2 * side, columns = 2 * side;
constexpr int64_t turned_depth = 128;
constexpr int64_t row_bytes = columns * 4;  // of what is kept beside: a panel of B, sums

// The compiler's headers do not say that loading a tile or a configuration reads memory.
inline void finish_writing(const void* to) { asm volatile("" ::"r"(to) : "memory"); }

// What the tile registers hold: 0 to 3 sums, 4 and 5 A, 6 and 7 B. Loading it clears them.
struct alignas(64) Shapes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes[16] = {};
  uint8_t height[16] = {};
  Shapes(int64_t upper, int64_t lower) {  // rows of A's two tiles
    for (int t = 0; t < 8; ++t) {
      bytes[t] = 4 * side;
      height[t] = side;
    }
    for (int t : {0, 1, 4}) height[t] = static_cast<uint8_t>(upper);
    for (int t : {2, 3, 5}) height[t] = static_cast<uint8_t>(lower);
  }
};

// Rows of pairs that lie `bytes` apart.
struct Operand {
  const Bf16Pair* data;
  int64_t bytes;
};

inline const Bf16Pair* row_of(Operand x, int64_t i) {
  return reinterpret_cast<const Bf16Pair*>(reinterpret_cast<const char*>(x.data) + i * x.bytes);
}

// Adds the product of 16 pairs along the depth. `below`: of A's lower tile, whose rows lie as the upper one's.
template <bool lower>
inline void add_product(Operand a, const Bf16Pair* below, Operand b) {
  _tile_loadd(6, b.data, b.bytes);
  _tile_loadd(4, a.data, a.bytes);
  _tile_dpbf16ps(0, 4, 6);
  _tile_loadd(7, b.data + side, b.bytes);
  _tile_dpbf16ps(1, 4, 7);
  if (!lower) return;
  _tile_loadd(5, below, a.bytes);
  _tile_dpbf16ps(2, 5, 6);
  _tile_dpbf16ps(3, 5, 7);
}

// Adds the products of the last `depth` pairs, fewer than a tile is deep: beyond them zeros are multiplied, since
// memory may hold anything there.
template <bool lower>
void add_rest(Operand a, Operand b, int64_t m, int64_t depth) {
  alignas(64) Bf16Pair of_a[rows][side] = {}, of_b[side][columns] = {};
  for (int64_t i = 0; i < m; ++i)
    __builtin_memcpy(of_a[i], row_of(a, i), static_cast<size_t>(depth) * sizeof(Bf16Pair));
  for (int64_t d = 0; d < depth; ++d) __builtin_memcpy(of_b[d], row_of(b, d), sizeof of_b[d]);
  finish_writing(of_a);
  finish_writing(of_b);
  add_product<lower>({of_a[0], side * 4}, of_a[side], {of_b[0], row_bytes});
}

// A row of a tile of sums.
inline void round_row(const float* from, bf16* to) {
#ifdef RT_ISA_amx
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), (__m256i)_mm512_cvtneps_pbh(_mm512_load_ps(from)));
#else
  for (int j = 0; j < side; j += lanes) store(to + j, load(from + j));
#endif
}

inline void clear_sums() {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

// Computes m rows and up to 32 columns of C. The tiles are shaped for m rows; `lower`: m is more than 16.
template <bool lower>
void tile(const Block& g, Operand a, Operand b, int64_t m, int64_t n, float* c, bf16* rounded) {
  alignas(64) float beside[rows][columns];
  const bool direct = rounded == nullptr && n == columns;  // C itself takes the tiles
  float* sums = beside[0];
  int64_t bytes = row_bytes;
  if (direct) {
    sums = c;
    bytes = g.c_row * 4;
  } else if (g.accumulate) {
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) beside[i][j] = c[i * g.c_row + j];
    finish_writing(beside);
  }
  float* const below = reinterpret_cast<float*>(reinterpret_cast<char*>(sums) + side * bytes);
  if (g.accumulate) {
    _tile_loadd(0, sums, bytes);
    _tile_loadd(1, sums + side, bytes);
    if (lower) {
      _tile_loadd(2, below, bytes);
      _tile_loadd(3, below + side, bytes);
    }
  } else {
    clear_sums();
  }
  int64_t d = 0;
  for (; d + side <= g.depth; d += side) {
    add_product<lower>(a, row_of(a, side), b);
    a.data += side;
    b.data = row_of(b, side);
  }
  if (d < g.depth) add_rest<lower>(a, b, m, g.depth - d);
  _tile_stored(0, sums, bytes);
  _tile_stored(1, sums + side, bytes);
  if (lower) {
    _tile_stored(2, below, bytes);
    _tile_stored(3, below + side, bytes);
  }
  if (direct) return;
  if (rounded != nullptr && n == columns) {
    for (int64_t i = 0; i < m; ++i)
      for (int j = 0; j < columns; j += side) round_row(beside[i] + j, rounded + i * g.rounded_row + j);
    return;
  }
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j)
      if (rounded != nullptr)
        rounded[i * g.rounded_row + j] = bf16(beside[i][j]);
      else
        c[i * g.c_row + j] = beside[i][j];
}

// Pairs are moved as floats.
inline const float* bits(const Bf16Pair* p) { return reinterpret_cast<const float*>(p); }
inline float* bits(Bf16Pair* p) { return reinterpret_cast<float*>(p); }

// m rows that lie side by side in A become rows of their own.
void turn(const Bf16Pair* a, int64_t step, int64_t m, int64_t depth, Bf16Pair (*to)[turned_depth]) {
  const int64_t whole = depth / 8 * 8;
  for (int64_t i = 0; i < m; i += 8) {
    const int64_t count = m - i < 8 ? m - i : 8;
    for (int64_t d = 0; count == 8 && d < whole; d += 8) {
      Eight square[8];
#pragma GCC unroll 8
      for (int k = 0; k < 8; ++k) square[k] = eight(bits(a + (d + k) * step + i));
      transpose(square);
#pragma GCC unroll 8
      for (int k = 0; k < 8; ++k) put_eight(bits(&to[i + k][d]), square[k]);
    }
    for (int64_t d = count == 8 ? whole : 0; d < depth; ++d)
      for (int64_t k = 0; k < count; ++k) to[i + k][d] = a[d * step + i + k];
  }
}

void multiply_rows(const Block& g) {
  alignas(64) Bf16Pair turned[rows][turned_depth];
  for (int64_t i = 0; i < g.m; i += rows) {
    const int64_t m = g.m - i < rows ? g.m - i : rows;
    if (i == 0 || m < rows) {
      const int64_t upper = m < side ? m : side;
      const Shapes shapes(upper, m > side ? m - upper : side);
      finish_writing(&shapes);
      _tile_loadconfig(&shapes);
    }
    Operand a{g.a + i * g.a_row, g.a_row * 4};
    if (g.a_step != 1) {
      turn(a.data, g.a_step, m, g.depth, turned);
      finish_writing(turned);
      a = {turned[0], turned_depth * 4};
    }
    for (int64_t j = 0; j < g.n; j += columns) {
      const Operand b{g.b + j / columns * g.b_panel, g.b_step * 4};
      float* const c = g.c != nullptr ? g.c + i * g.c_row + j : nullptr;
      bf16* const rounded = g.rounded != nullptr ? g.rounded + i * g.rounded_row + j : nullptr;
      const int64_t n = g.n - j < columns ? g.n - j : columns;
      m > side ? tile<true>(g, a, b, m, n, c, rounded) : tile<false>(g, a, b, m, n, c, rounded);
    }
  }
  _tile_release();
}

void multiply(const Block& g) {
  if (g.a_step == 1) return multiply_rows(g);
  Block part = g;  // results of several are added in C, so they are not rounded
  for (int64_t d = 0; d < g.depth; d += turned_depth) {
    part.depth = g.depth - d < turned_depth ? g.depth - d : turned_depth;
    part.a = g.a + d * g.a_step;
    part.b = g.b + d * g.b_step;
    part.accumulate = g.accumulate || d > 0;
    multiply_rows(part);
  }
}

// Multiplies `count` tiles of windows, at most four, by 16 columns.
template <int count>
void windows_tile(const GemmWindows& g, int64_t first, const Bf16Pair* b, bf16* to) {
  const Bf16Pair* a[4];
  for (int i = 0; i < count; ++i)
    a[i] = g.a + (first + i) / g.tiles_per_row * g.row + (first + i) % g.tiles_per_row * g.height * g.pixel;
  clear_sums();
  for (int64_t t = 0; t < g.tap_count; ++t)
    for (int64_t d = g.taps[t], end = d + g.depth; d < end; d += side, b += side * columns) {
      _tile_loadd(7, b, row_bytes);
      _tile_loadd(4, a[0] + d, g.pixel * 4);
      _tile_dpbf16ps(0, 4, 7);
      if (count > 1) {
        _tile_loadd(5, a[1] + d, g.pixel * 4);
        _tile_dpbf16ps(1, 5, 7);
      }
      if (count > 2) {
        _tile_loadd(6, a[2] + d, g.pixel * 4);
        _tile_dpbf16ps(2, 6, 7);
      }
      if (count > 3) {
        _tile_loadd(4, a[3] + d, g.pixel * 4);
        _tile_dpbf16ps(3, 4, 7);
      }
    }
  alignas(64) float sums[4 * side][side];
  constexpr int64_t bytes = side * 4;
  _tile_stored(0, sums[0], bytes);
  if (count > 1) _tile_stored(1, sums[g.height], bytes);
  if (count > 2) _tile_stored(2, sums[2 * g.height], bytes);
  if (count > 3) _tile_stored(3, sums[3 * g.height], bytes);
  for (int64_t i = 0; i < count * g.height; ++i) round_row(sums[i], to + i * g.rounded_row);
}

void multiply_windows(const GemmWindows& g) {
  Shapes shapes(g.height, side);
  for (int t : {0, 1, 2, 3, 4, 5, 6}) shapes.height[t] = static_cast<uint8_t>(g.height);
  finish_writing(&shapes);
  _tile_loadconfig(&shapes);
  for (int64_t j = 0; j < g.n; j += side)
    for (int64_t tile = 0; tile < g.tiles; tile += 4) {
      const Bf16Pair* const b = g.b + j / columns * g.b_panel + j % columns;
      bf16* const to = g.rounded + tile * g.height * g.rounded_row + j;
      const int64_t left = g.tiles - tile;
      const auto run = left == 1   ? windows_tile<1>
                       : left == 2 ? windows_tile<2>
                       : left == 3 ? windows_tile<3>
                                   : windows_tile<4>;
      run(g, tile, b, to);
    }
  _tile_release();
}

}  // namespace

extern const GemmKernelsOf<Bf16Pair> gemm_kernels;  // kernels/isa.hpp declares it, for each instruction set
const GemmKernelsOf<Bf16Pair> gemm_kernels = {
    .rows = rows, .columns = columns, .multiply = multiply, .multiply_windows = multiply_windows};

}  // namespace rt::RT_ISA
