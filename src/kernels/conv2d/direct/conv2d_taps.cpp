#include "kernels/conv2d/direct/conv2d_taps.hpp"

#include <omp.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "core/check.hpp"
#include "kernels/conv2d/direct/conv2d_windows.hpp"

namespace rt::cpu::taps {
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

struct Split {
  int64_t row_pairs, image_rows, rows, blocks;  // of the sequence: pairs in a row, rows of an image and of a block
  int64_t pairs, a_row;                         // in a block; from one of dy's channels to the next
  int64_t classes, copies, copy;                // of x, and the size of one in pairs
  int64_t channels, groups;                     // of x that one task takes
  int64_t chunk_blocks, chunks;                 // of the sequence that one task takes
  explicit Split(const Conv2dShape& s) {
    const int64_t width = round_up(s.q, 2), step = tile_depth / std::gcd(width, tile_depth);
    row_pairs = width / 2, image_rows = s.p + 1;
    rows = std::min(step * ceil_div(block_pixels, width * step), round_up(s.n * image_rows, step));
    blocks = ceil_div(s.n * image_rows, rows);
    pairs = rows * row_pairs, a_row = pairs + 16;
    classes = std::min<int64_t>(s.stride, s.r);
    copies = classes * s.s;
    channels = s.c % 64 == 0 ? 64 : 32;
    groups = s.c / channels;
    copy = (rows + 2) * row_pairs * channels;
    chunks = std::clamp<int64_t>(wanted_tasks / groups, 1, blocks);
    chunk_blocks = ceil_div(blocks, chunks);
    chunks = ceil_div(blocks, chunk_blocks);
  }
  int64_t partial(const Conv2dShape& s) const { return s.k * s.r * s.s * s.c; }
};

// Eight rows of numbers become the columns of eight, to_row apart.
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
void turn_gradients(const Conv2dShape& s, const Split& split, const bf16* dy, int64_t block, Bf16Pair* to) {
  for (int64_t g = 0; g < 2 * split.pairs; g += square) {
    const bf16* pixel[square];
    for (int64_t i = 0; i < square; ++i) {
      const int64_t row = block * split.rows + (g + i) / (2 * split.row_pairs), q = (g + i) % (2 * split.row_pairs);
      const int64_t n = row / split.image_rows, p = row % split.image_rows;
      pixel[i] = n < s.n && p < s.p && q < s.q ? dy + ((n * s.p + p) * s.q + q) * s.k : zeros;
    }
    for (int64_t k = 0; k < s.k; k += square) turn(pixel, k, &to[k * split.a_row].first + g, 2 * split.a_row);
  }
}

// What a block's output pixels see of x, from one row above the block to one below, in `channels` from `c`.
void stack_inputs(const Conv2dShape& s, const Split& split, const bf16* x, int64_t block, int64_t c, Bf16Pair* to) {
  for (int64_t row_class = 0; row_class < split.classes; ++row_class)
    for (int64_t tap = 0; tap < s.s; ++tap)
      for (int64_t row = block * split.rows - 1; row < (block + 1) * split.rows + 1; ++row) {
        const int64_t n = row / split.image_rows, p = row % split.image_rows;
        const int64_t h = p * s.stride + (s.r > 1 ? row_class : TapRow(s, 0).row_class);  // a single row is one class
        const bool inside = row >= 0 && n < s.n && p < s.p && h < s.h;
        auto pixel = [&](int64_t q) {
          const int64_t w = q * s.stride + tap - s.pad;
          return inside && q < s.q && w >= 0 && w < s.w ? x + ((n * s.h + h) * s.w + w) * s.c + c : zeros;
        };
        for (int64_t q = 0; q < 2 * split.row_pairs; q += 2, to += split.channels)
          stack(pixel(q), pixel(q + 1), split.channels, to);
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
  const Split split(s);
  RT_CHECK(split.channels % kernels.columns == 0, "taps: products of {} columns do not divide {} channels",
           kernels.columns, split.channels);
  const int64_t taps = s.r * s.s, a_block = s.k * split.a_row;
  float* const partial = static_cast<float*>(workspace);
  auto* const turned = reinterpret_cast<Bf16Pair*>(partial + split.chunks * split.partial(s));
  Bf16Pair* const stacked = turned + split.blocks * a_block;
#pragma omp parallel for schedule(static)
  for (int64_t block = 0; block < split.blocks; ++block) turn_gradients(s, split, dy, block, turned + block * a_block);
#pragma omp parallel for collapse(2) schedule(dynamic, 1) num_threads(workers(split.chunks* split.groups))
  for (int64_t chunk = 0; chunk < split.chunks; ++chunk)
    for (int64_t group = 0; group < split.groups; ++group) {
      Bf16Pair* const mine = stacked + omp_get_thread_num() * split.copies * split.copy;
      const int64_t c = group * split.channels, begin = chunk * split.chunk_blocks;
      for (int64_t block = begin; block < std::min(split.blocks, begin + split.chunk_blocks); ++block) {
        stack_inputs(s, split, x, block, c, mine);
        for (int64_t tap = 0; tap < taps; ++tap) {
          const TapRow row(s, tap / s.s);
          const int64_t of_class = s.r > 1 ? row.row_class : 0;
          const Bf16Pair* const seen = mine + (of_class * s.s + tap % s.s) * split.copy;
          kernels.multiply({s.k, split.channels, split.pairs, turned + block * a_block, split.a_row, 1,
                            seen + (1 + row.offset) * split.row_pairs * split.channels, kernels.columns, split.channels,
                            partial + chunk * split.partial(s) + tap * s.c + c, taps * s.c, block > begin});
        }
      }
    }
    // Chunks are added in order, and [K, tap, C] becomes [K, C, tap].
#pragma omp parallel for schedule(static)
  for (int64_t k = 0; k < s.k; ++k) {
    float sums[most_channels];
    for (int64_t tap = 0; tap < taps; ++tap) {
      const float* from = partial + (k * taps + tap) * s.c;
      std::copy_n(from, s.c, sums);
      for (int64_t chunk = 1; chunk < split.chunks; ++chunk) {
        from += split.partial(s);
        for (int64_t c = 0; c < s.c; ++c) sums[c] += from[c];
      }
      for (int64_t c = 0; c < s.c; ++c) dw[(k * s.c + c) * taps + tap] = bf16(sums[c]);
    }
  }
}

size_t dw_bytes(const Conv2dShape& s) {
  const Split split(s);
  return static_cast<size_t>(split.chunks * split.partial(s)) * sizeof(float) +
         static_cast<size_t>(split.blocks * s.k * split.a_row +
                             workers(split.chunks * split.groups) * split.copies * split.copy) *
             sizeof(Bf16Pair);
}

}  // namespace rt::cpu::taps
