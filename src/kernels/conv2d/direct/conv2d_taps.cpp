#include "kernels/conv2d/direct/conv2d_taps.hpp"

#include <omp.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "core/check.hpp"
#include "kernels/conv2d/direct/conv2d_windows.hpp"

namespace rt::cpu::by_taps {
namespace {

// Functions of the shape alone, never of the threads, because they decide the order of additions.
constexpr int64_t block_pixels = 512;  // about so many pixels are multiplied at a time
constexpr int64_t tile_depth = 32;     // pixels, which divide a block
constexpr int64_t wanted_tasks = 16;
constexpr int64_t most_channels = 4096;
constexpr int64_t square = 8;

alignas(64) constexpr bf16 zeros[most_channels] = {};

// Tap r of output row p sees row (p + offset) * stride + row_class of x.
struct TapRow {
  int64_t offset, row_class;
  TapRow(const Conv2dShape& s, int64_t r) {
    const int64_t from = r - s.pad;
    offset = from >= 0 ? from / s.stride : -ceil_div(-from, s.stride);
    row_class = from - offset * s.stride;
  }
};

// The sequence of rows, and how it is cut into blocks and tasks.
struct Sequence {
  int64_t row_pairs, image_rows;  // pairs in a row; rows of an image
  int64_t rows, blocks;           // rows of a block
  int64_t pairs;                  // in a block
  int64_t a_row;                  // pairs from one of dy's channels to the next
  int64_t classes;                // of rows of x
  int64_t copies, copy;           // of x: a copy per class and column of taps, and pairs in one
  int64_t channels, groups;       // of x: channels that one task takes
  int64_t chunk_blocks, chunks;   // blocks that one task takes
  explicit Sequence(const Conv2dShape& s) {
    const int64_t width = round_up(s.q, 2), step = tile_depth / std::gcd(width, tile_depth), taps_w = s.s;
    row_pairs = width / 2;
    image_rows = s.p + 1;
    rows = std::min(step * ceil_div(block_pixels, width * step), round_up(s.n * image_rows, step));
    blocks = ceil_div(s.n * image_rows, rows);
    pairs = rows * row_pairs;
    a_row = pairs + 16;
    classes = std::min<int64_t>(s.stride, s.r);
    copies = classes * taps_w;
    channels = s.c % 64 == 0 ? 64 : 32;
    groups = s.c / channels;
    copy = (rows + 2) * row_pairs * channels;
    chunks = std::clamp<int64_t>(wanted_tasks / groups, 1, blocks);
    chunk_blocks = ceil_div(blocks, chunks);
    chunks = ceil_div(blocks, chunk_blocks);
  }
  int64_t partial(const Conv2dShape& s) const { return s.k * s.r * s.s * s.c; }
};

// Eight rows of numbers become the columns of eight, which are to_row apart. (eight_simd.hpp transposes numbers of four
// bytes, with another network of shuffles.)
void turn(const bf16* const (&from)[square], int64_t at, bf16* to, int64_t to_row) {
  using Eight = uint16_t __attribute__((vector_size(16)));
  Eight row[square], two[square], four[square];
  for (int i = 0; i < square; ++i) std::memcpy(&row[i], from[i] + at, sizeof row[i]);
  for (int i = 0; i < 4; ++i) {
    two[2 * i] = __builtin_shufflevector(row[i], row[i + 4], 0, 8, 1, 9, 2, 10, 3, 11);
    two[2 * i + 1] = __builtin_shufflevector(row[i], row[i + 4], 4, 12, 5, 13, 6, 14, 7, 15);
  }
  for (int i = 0; i < 4; ++i) {
    four[2 * i] = __builtin_shufflevector(two[i], two[i + 4], 0, 8, 1, 9, 2, 10, 3, 11);
    four[2 * i + 1] = __builtin_shufflevector(two[i], two[i + 4], 4, 12, 5, 13, 6, 14, 7, 15);
  }
  for (int i = 0; i < 4; ++i) {
    row[2 * i] = __builtin_shufflevector(four[i], four[i + 4], 0, 8, 1, 9, 2, 10, 3, 11);
    row[2 * i + 1] = __builtin_shufflevector(four[i], four[i + 4], 4, 12, 5, 13, 6, 14, 7, 15);
  }
  for (int i = 0; i < square; ++i) std::memcpy(to + i * to_row, &row[i], sizeof row[i]);
}

// A block of dy as [K, pixels].
void turn_gradients(const Conv2dShape& s, const Sequence& sequence, const bf16* dy, int64_t block, Bf16Pair* to) {
  for (int64_t g = 0; g < 2 * sequence.pairs; g += square) {
    const bf16* pixel[square];
    for (int64_t i = 0; i < square; ++i) {
      const int64_t row = block * sequence.rows + (g + i) / (2 * sequence.row_pairs),
                    q = (g + i) % (2 * sequence.row_pairs);
      const int64_t n = row / sequence.image_rows, p = row % sequence.image_rows;
      pixel[i] = n < s.n && p < s.p && q < s.q ? dy + ((n * s.p + p) * s.q + q) * s.k : zeros;
    }
    for (int64_t k = 0; k < s.k; k += square) turn(pixel, k, &to[k * sequence.a_row].first + g, 2 * sequence.a_row);
  }
}

// What a block's output pixels see of x, from one row above the block to one below it, in the group of channels from
// `c`.
void stack_inputs(const Conv2dShape& s, const Sequence& sequence, const bf16* x, int64_t block, int64_t c,
                  Bf16Pair* to) {
  for (int64_t row_class = 0; row_class < sequence.classes; ++row_class)
    for (int64_t tap = 0; tap < s.s; ++tap)
      for (int64_t row = block * sequence.rows - 1; row < (block + 1) * sequence.rows + 1; ++row) {
        const int64_t n = row / sequence.image_rows, p = row % sequence.image_rows;
        const int64_t h = p * s.stride + (s.r > 1 ? row_class : TapRow(s, 0).row_class);  // a single row is one class
        const bool inside = row >= 0 && n < s.n && p < s.p && h < s.h;
        auto pixel = [&](int64_t q) {
          const int64_t w = q * s.stride + tap - s.pad;
          return inside && q < s.q && w >= 0 && w < s.w ? x + ((n * s.h + h) * s.w + w) * s.c + c : zeros;
        };
        for (int64_t q = 0; q < 2 * sequence.row_pairs; q += 2, to += sequence.channels)
          stack(pixel(q), pixel(q + 1), sequence.channels, to);
      }
}

// Chunks are added in order, and [K, tap, C] becomes [K, C, tap].
void add_chunks(const Conv2dShape& s, const Sequence& sequence, const float* partial, bf16* dw) {
  const int64_t taps = s.r * s.s;
#pragma omp parallel for schedule(static)
  for (int64_t k = 0; k < s.k; ++k) {
    float sums[most_channels];
    for (int64_t tap = 0; tap < taps; ++tap) {
      const float* from = partial + (k * taps + tap) * s.c;
      std::copy_n(from, s.c, sums);
      for (int64_t chunk = 1; chunk < sequence.chunks; ++chunk) {
        from += sequence.partial(s);
        for (int64_t c = 0; c < s.c; ++c) sums[c] += from[c];
      }
      for (int64_t c = 0; c < s.c; ++c) dw[(k * s.c + c) * taps + tap] = bf16(sums[c]);
    }
  }
}

}  // namespace

bool fit(const Conv2dShape& s) {
  if (s.c % 32 != 0 || s.k % square != 0 || std::max(s.c, s.k) > most_channels || s.stride > 2) return false;
  for (int64_t r = 0; r < s.r; ++r) {
    const TapRow tap(s, r);
    if (tap.offset < -1 || tap.offset > 1) return false;
    if (tap.offset == 1 && s.p * s.stride + tap.row_class < s.h) return false;  // more of x, where the zeros are
  }
  return true;
}

void dw(const GemmKernelsOf<Bf16Pair>& kernels, const Conv2dShape& s, const bf16* dy, const bf16* x, bf16* dw,
        void* workspace) {
  const Sequence sequence(s);
  RT_CHECK(sequence.channels % kernels.columns == 0, "taps: products of {} columns do not divide {} channels",
           kernels.columns, sequence.channels);
  const int64_t taps_w = s.s, taps = s.r * taps_w, a_block = s.k * sequence.a_row;
  float* const partial = static_cast<float*>(workspace);
  auto* const turned = reinterpret_cast<Bf16Pair*>(partial + sequence.chunks * sequence.partial(s));
  Bf16Pair* const stacked = turned + sequence.blocks * a_block;
#pragma omp parallel for schedule(static)
  for (int64_t block = 0; block < sequence.blocks; ++block)
    turn_gradients(s, sequence, dy, block, turned + block * a_block);
#pragma omp parallel for collapse(2) schedule(dynamic, 1) num_threads(workers(sequence.chunks* sequence.groups))
  for (int64_t chunk = 0; chunk < sequence.chunks; ++chunk)
    for (int64_t group = 0; group < sequence.groups; ++group) {
      Bf16Pair* const mine = stacked + omp_get_thread_num() * sequence.copies * sequence.copy;
      const int64_t c = group * sequence.channels, begin = chunk * sequence.chunk_blocks;
      for (int64_t block = begin; block < std::min(sequence.blocks, begin + sequence.chunk_blocks); ++block) {
        stack_inputs(s, sequence, x, block, c, mine);
        for (int64_t tap = 0; tap < taps; ++tap) {
          const TapRow row(s, tap / taps_w);
          const int64_t of_class = s.r > 1 ? row.row_class : 0;
          const Bf16Pair* const seen = mine + (of_class * taps_w + tap % taps_w) * sequence.copy;
          kernels.multiply({.m = s.k,
                            .n = sequence.channels,
                            .depth = sequence.pairs,
                            .a = turned + block * a_block,
                            .a_row = sequence.a_row,
                            .a_step = 1,
                            .b = seen + (1 + row.offset) * sequence.row_pairs * sequence.channels,
                            .b_panel = kernels.columns,
                            .b_step = sequence.channels,
                            .c = partial + chunk * sequence.partial(s) + tap * s.c + c,
                            .c_row = taps * s.c,
                            .accumulate = block > begin});
        }
      }
    }
  add_chunks(s, sequence, partial, dw);
}

size_t dw_bytes(const Conv2dShape& s) {
  const Sequence sequence(s);
  return static_cast<size_t>(sequence.chunks * sequence.partial(s)) * sizeof(float) +
         static_cast<size_t>(sequence.blocks * s.k * sequence.a_row +
                             workers(sequence.chunks * sequence.groups) * sequence.copies * sequence.copy) *
             sizeof(Bf16Pair);
}

}  // namespace rt::cpu::by_taps
