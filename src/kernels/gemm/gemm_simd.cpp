// The register tile of the matrix product, compiled once per instruction set. The tile is two vectors wide, so that two
// multiply-adds share each broadcast of A, and has enough accumulators to hide their latency. AVX-512 has registers for
// 14 rows; 8 measured the same (88 % of the FMA peak in cache) and divides every channel count of a ResNet. NEON has as
// many registers, of four numbers, and the same tile.
#include "kernels/gemm/gemm_simd.hpp"

#include <utility>

#include "kernels/simd/simd.hpp"
#ifdef RT_ISA_avx512_bf16
#include <immintrin.h>
#endif

namespace rt::RT_ISA {
namespace {

#ifdef RT_ISA_avx512_bf16
using Element = Bf16Pair;  // a vector holds as many pairs as it would f32
using rt::RT_ISA::broadcast, rt::RT_ISA::load;
inline Vec load(const Bf16Pair* p) { return load(reinterpret_cast<const float*>(p)); }
inline Vec broadcast(const Bf16Pair& p) {
  int bits;
  __builtin_memcpy(&bits, &p, sizeof bits);
  return (Vec)_mm512_set1_epi32(bits);
}
inline Vec multiply_add(Vec x, Vec y, Vec sum) { return (Vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)y); }
#else
using Element = float;
inline Vec multiply_add(Vec x, Vec y, Vec sum) { return x * y + sum; }
#endif
using Block = GemmBlockOf<Element>;

// Where a tile's result goes, and what it is added to.
struct Result {
  float* c;
  int64_t c_row;
  bf16* rounded;
  int64_t rounded_row;
};

constexpr int vectors = 2;
#if defined(__AVX512F__) || defined(__aarch64__)  // 32 registers
constexpr int rows = 8;
#else
constexpr int rows = lanes == 8 ? 6 : 4;
#endif
constexpr int columns = vectors * lanes;
constexpr int line = 64;  // bytes of the cache's

// Walks through what is to be prefetched, a few lines per tile.
class Prefetcher {
 public:
  explicit Prefetcher(const Block& g) : next_(g.prefetch.begin()), end_(g.prefetch.end()) {}
  // Where to go on for `bytes`, or null where nothing is left. The last lines of a range may be followed by some of
  // what lies behind it.
  const char* take(int64_t bytes) {
    while (at_ >= range_end_) {
      if (next_ == end_) return nullptr;
      at_ = static_cast<const char*>(next_->at);
      range_end_ = at_ + next_->bytes;
      ++next_;
    }
    return std::exchange(at_, at_ + bytes);
  }

 private:
  decltype(Block::prefetch)::const_iterator next_, end_;
  const char *at_ = nullptr, *range_end_ = nullptr;
};
// Steps of the depth per two lines: by the end of a product of some 100 rows and columns all has been asked for.
constexpr int64_t prefetch_steps = 8;

// Transposed: the rows of A lie side by side in memory (a_row is 1); otherwise its depth does (a_step is 1).
template <int m, bool transposed, bool prefetch>
void tile(const Block& g, const Element* a, const Element* b, const Result& to, const char* next) {
  float* const c = to.c;
  bf16* const rounded = to.rounded;
  const int64_t c_row = to.c_row, rounded_row = to.rounded_row;
  Vec sum[m][vectors];
#pragma GCC unroll 16
  for (int i = 0; i < m; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) sum[i][v] = g.accumulate ? load(c + i * c_row + v * lanes) : Vec{};
  // The tile below: its lines of C, and of A where they are apart, are beyond the hardware's prefetchers.
  if (rounded != nullptr) {
#pragma GCC unroll 16
    for (int i = 0; i < m; ++i) __builtin_prefetch(rounded + (m + i) * rounded_row, 1);
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < m; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < columns; v += line / 4) __builtin_prefetch(c + (m + i) * c_row + v, 1);
  }
  const int64_t a_row = transposed ? 1 : g.a_row, a_step = transposed ? g.a_step : 1, b_step = g.b_step;
  for (int64_t d = 0; d < g.depth;) {
    int64_t end = g.depth;
    if (prefetch) {
      if (d + prefetch_steps < end) end = d + prefetch_steps;
      __builtin_prefetch(next, 0, 2);
      __builtin_prefetch(next + line, 0, 2);
      next += 2 * line;
    }
#pragma GCC unroll 1  // more, and the sums would not fit into the registers
    for (; d < end; ++d, a += a_step, b += b_step) {
      if (transposed) __builtin_prefetch(a + m);
      Vec row[vectors];
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) row[v] = load(b + v * lanes);
#pragma GCC unroll 16
      for (int i = 0; i < m; ++i) {
        const Vec x = broadcast(a[i * a_row]);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) sum[i][v] = multiply_add(x, row[v], sum[i][v]);
      }
    }
  }
  if (rounded != nullptr) {
#pragma GCC unroll 16
    for (int i = 0; i < m; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) store(rounded + i * rounded_row + v * lanes, sum[i][v]);
    return;
  }
#pragma GCC unroll 16
  for (int i = 0; i < m; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) store(c + i * c_row + v * lanes, sum[i][v]);
}

using Tile = void (*)(const Block&, const Element*, const Element*, const Result&, const char*);
template <bool transposed, int m = rows, int... i>
constexpr Tile tile_of_height(int64_t height) {
  if constexpr (m > 0) {
    return tile_of_height<transposed, m - 1, m, i...>(height);
  } else {
    constexpr Tile tiles[] = {tile<i, transposed, false>...};
    return tiles[height - 1];
  }
}

template <bool transposed, bool may_prefetch>
void multiply_panels(const Block& g) {
  Prefetcher prefetcher(g);
  for (int64_t j = 0; j < g.n; j += columns) {
    const Element* b = g.b + j / columns * g.b_panel;
    const int64_t n = g.n - j < columns ? g.n - j : columns;
    for (int64_t i = 0; i < g.m; i += rows) {
      const int64_t m = g.m - i < rows ? g.m - i : rows;
      const Element* a = g.a + i * g.a_row;
      float* const c = g.c != nullptr ? g.c + i * g.c_row + j : nullptr;
      bf16* const rounded = g.rounded != nullptr ? g.rounded + i * g.rounded_row + j : nullptr;
      const char* from = may_prefetch && m == rows ? prefetcher.take(g.depth / prefetch_steps * 2 * line) : nullptr;
      const Tile run = m < rows          ? tile_of_height<transposed>(m)
                       : from != nullptr ? tile<rows, transposed, true>
                                         : tile<rows, transposed, false>;
      if (n == columns) {
        run(g, a, b, {.c = c, .c_row = g.c_row, .rounded = rounded, .rounded_row = g.rounded_row}, from);
        continue;
      }
      float part[rows * columns] = {};
      for (int64_t y = 0; g.accumulate && y < m; ++y)
        for (int64_t x = 0; x < n; ++x) part[y * columns + x] = c[y * g.c_row + x];
      run(g, a, b, {.c = part, .c_row = columns, .rounded = nullptr, .rounded_row = 0}, from);
      for (int64_t y = 0; y < m; ++y)
        for (int64_t x = 0; x < n; ++x)
          if (rounded != nullptr)
            rounded[y * g.rounded_row + x] = bf16(part[y * columns + x]);
          else
            c[y * g.c_row + x] = part[y * columns + x];
    }
  }
}

void multiply(const Block& g) {
  if (g.prefetch[0].bytes + g.prefetch[1].bytes + g.prefetch[2].bytes > 0)
    g.a_step == 1 ? multiply_panels<false, true>(g) : multiply_panels<true, true>(g);
  else
    g.a_step == 1 ? multiply_panels<false, false>(g) : multiply_panels<true, false>(g);
}

}  // namespace

extern const GemmKernelsOf<Element> gemm_kernels;  // kernels/isa.hpp declares it, for each instruction set
const GemmKernelsOf<Element> gemm_kernels = {.rows = rows, .columns = columns, .multiply = multiply};

}  // namespace rt::RT_ISA
