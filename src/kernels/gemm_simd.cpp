// The register tile of the matrix product, compiled once per instruction set. The tile is two vectors wide, so that
// two multiply-adds share each broadcast of A, and has enough accumulators to hide their latency. AVX-512 has registers
// for 14 rows; 8 measured the same (88 % of the FMA peak in cache) and divides every channel count of a ResNet. NEON has as
// many, of four numbers, and the same tile.
#include "kernels/gemm_simd.hpp"

#include "kernels/simd.hpp"

namespace rt::RT_ISA {
namespace {

constexpr int vectors = 2;
#if defined(RT_ISA_avx512) || defined(__aarch64__)  // 32 registers
constexpr int rows = 8;
#else
constexpr int rows = lanes == 8 ? 6 : 4;
#endif
constexpr int columns = vectors * lanes;
constexpr int line = 16;  // floats of a line of the cache

// Transposed: the rows of A lie side by side in memory (a_row is 1); otherwise its depth does (a_step is 1).
template <int m, bool transposed>
void tile(const GemmBlock& g, const float* a, const float* b, float* c, int64_t c_row, bool accumulate) {
  Vec sum[m][vectors];
#pragma GCC unroll 16
  for (int i = 0; i < m; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) sum[i][v] = accumulate ? load(c + i * c_row + v * lanes) : Vec{};
      // The tile below: its lines of C, and of A where they are apart, are beyond the hardware's prefetchers.
#pragma GCC unroll 16
  for (int i = 0; i < m; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < vectors * lanes; v += line) __builtin_prefetch(c + (m + i) * c_row + v, 1);
  const int64_t a_row = transposed ? 1 : g.a_row, a_step = transposed ? g.a_step : 1, b_step = g.b_step;
  for (int64_t d = 0; d < g.depth; ++d, a += a_step, b += b_step) {
    if (transposed) __builtin_prefetch(a + m);
    Vec row[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) row[v] = load(b + v * lanes);
#pragma GCC unroll 16
    for (int i = 0; i < m; ++i) {
      const Vec x = broadcast(a[i * a_row]);
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sum[i][v] = x * row[v] + sum[i][v];
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < m; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) store(c + i * c_row + v * lanes, sum[i][v]);
}

using Tile = void (*)(const GemmBlock&, const float*, const float*, float*, int64_t, bool);
template <bool transposed, int m = rows, int... i>
constexpr Tile tile_of_height(int64_t height) {
  if constexpr (m > 0) {
    return tile_of_height<transposed, m - 1, m, i...>(height);
  } else {
    constexpr Tile tiles[] = {tile<i, transposed>...};
    return tiles[height - 1];
  }
}

template <bool transposed>
void multiply_panels(const GemmBlock& g) {
  for (int64_t j = 0; j < g.n; j += columns) {
    const float* b = g.b + j / columns * g.b_panel;
    const int64_t n = g.n - j < columns ? g.n - j : columns;
    for (int64_t i = 0; i < g.m; i += rows) {
      const int64_t m = g.m - i < rows ? g.m - i : rows;
      const float* a = g.a + i * g.a_row;
      float* c = g.c + i * g.c_row + j;
      const Tile run = m == rows ? tile<rows, transposed> : tile_of_height<transposed>(m);
      if (n == columns) {
        run(g, a, b, c, g.c_row, g.accumulate);
        continue;
      }
      float part[rows * columns] = {};
      for (int64_t y = 0; g.accumulate && y < m; ++y)
        for (int64_t x = 0; x < n; ++x) part[y * columns + x] = c[y * g.c_row + x];
      run(g, a, b, part, columns, g.accumulate);
      for (int64_t y = 0; y < m; ++y)
        for (int64_t x = 0; x < n; ++x) c[y * g.c_row + x] = part[y * columns + x];
    }
  }
}

void multiply(const GemmBlock& g) { g.a_step == 1 ? multiply_panels<false>(g) : multiply_panels<true>(g); }

}  // namespace

extern const GemmKernels gemm_kernels = {rows, columns, multiply};

}  // namespace rt::RT_ISA
