#include "kernels/conv2d/direct/conv2d_padded.hpp"

#include <omp.h>

#include <algorithm>
#include <cstring>

namespace rt::cpu::padded {
namespace {

constexpr int64_t band_pixels = 512;  // about so many of the output are a task
constexpr int64_t few_tasks = 8;      // so few of them would leave cores idle
constexpr int64_t most_taps = 9;

int64_t tile_height(int64_t q) { return q % 16 == 0 ? 16 : q % 14 == 0 ? 14 : 0; }

struct Band {  // of output rows, and what they see of the source
  int64_t rows, count;
  int64_t h, w;  // source pixels
  explicit Band(const Windows<bf16>& v) {
    count = ceil_div(v.p, std::max<int64_t>(1, band_pixels / v.q));
    rows = ceil_div(v.p, count);
    count = ceil_div(v.p, rows);
    h = (rows - 1) * v.step + v.taps_h, w = (v.q - 1) * v.step + v.taps_w;
  }
  int64_t numbers(int64_t c) const { return round_up(h * w * c, 32); }
};

void copy_band(const Windows<bf16>& v, const Band& band, int64_t n, int64_t first_row, int64_t rows, bf16* to) {
  const int64_t left = std::clamp<int64_t>(-v.w0, 0, band.w), right = std::clamp<int64_t>(v.w - v.w0, left, band.w);
  for (int64_t i = 0; i < (rows - 1) * v.step + v.taps_h; ++i, to += band.w * v.c) {
    const int64_t h = first_row * v.step + v.h0 + i;
    const bool inside = h >= 0 && h < v.h;
    std::fill(to, to + (inside ? left : band.w) * v.c, bf16(0.0f));
    if (!inside) continue;
    std::memcpy(to + left * v.c, v.source + ((n * v.h + h) * v.w + v.w0 + left) * v.c,
                static_cast<size_t>((right - left) * v.c) * sizeof(bf16));
    std::fill(to + right * v.c, to + band.w * v.c, bf16(0.0f));
  }
}

}  // namespace

bool fit(const GemmKernelsOf<Bf16Pair>& kernels, const Windows<bf16>& v, int64_t outputs) {
  return kernels.multiply_windows != nullptr && v.c % 32 == 0 && outputs % kernels.columns == 0 &&
         tile_height(v.q) > 0 && v.taps_h * v.taps_w > 1 && v.taps_h * v.taps_w <= most_taps &&
         v.n * Band(v).count >= few_tasks;
}

void correlate(const GemmKernelsOf<Bf16Pair>& kernels, const Windows<bf16>& v, const Bf16Pair* panels, int64_t outputs,
               bf16* y, void* workspace) {
  const Band band(v);
  const int64_t c = v.c / 2, height = tile_height(v.q);
  int64_t taps[most_taps];
  for (int64_t t = 0; t < v.taps_h * v.taps_w; ++t) taps[t] = (t / v.taps_w * band.w + t % v.taps_w) * c;
#pragma omp parallel for collapse(2) schedule(dynamic, 1) num_threads(workers(v.n* band.count))
  for (int64_t n = 0; n < v.n; ++n)
    for (int64_t b = 0; b < band.count; ++b) {
      bf16* const copy = static_cast<bf16*>(workspace) + omp_get_thread_num() * band.numbers(v.c);
      const int64_t first = b * band.rows, rows = std::min(band.rows, v.p - first);
      copy_band(v, band, n, first, rows, copy);
      kernels.multiply_windows({.tiles = rows * v.q / height,
                                .height = height,
                                .tiles_per_row = v.q / height,
                                .a = reinterpret_cast<const Bf16Pair*>(copy),
                                .pixel = v.step * c,
                                .row = v.step * band.w * c,
                                .taps = taps,
                                .tap_count = v.taps_h * v.taps_w,
                                .depth = c,
                                .n = outputs,
                                .b = panels,
                                .b_panel = v.depth() / 2 * kernels.columns,
                                .rounded = y + (n * v.p + first) * v.q * outputs,
                                .rounded_row = outputs});
    }
}

size_t correlate_bytes(const Windows<bf16>& v) {
  const Band band(v);
  return static_cast<size_t>(workers(v.n * band.count) * band.numbers(v.c)) * sizeof(bf16);
}

}  // namespace rt::cpu::padded
