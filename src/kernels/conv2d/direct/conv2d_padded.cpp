#include "kernels/conv2d/direct/conv2d_padded.hpp"

#include <omp.h>

#include <algorithm>
#include <cstring>

namespace rt::cpu::padded {
namespace {

constexpr int64_t band_pixels = 512;  // about so many of the output are a task
constexpr int64_t few_tasks = 8;      // fewer tasks would leave cores without work
constexpr int64_t most_taps = 9;

int64_t tile_height(int64_t q) { return q % 16 == 0 ? 16 : q % 14 == 0 ? 14 : 0; }

// A band of output rows, and what it sees of the source.
struct Band {
  int64_t rows, count;  // of one band; of an image
  int64_t h, w;         // source pixels
  explicit Band(const Windows<bf16>& windows) {
    count = ceil_div(windows.p, std::max<int64_t>(1, band_pixels / windows.q));
    rows = ceil_div(windows.p, count);
    count = ceil_div(windows.p, rows);
    h = (rows - 1) * windows.step + windows.taps_h;
    w = (windows.q - 1) * windows.step + windows.taps_w;
  }
  int64_t numbers(int64_t c) const { return round_up(h * w * c, 32); }
};

void copy_band(const Windows<bf16>& windows, const Band& band, int64_t n, int64_t first_row, int64_t rows, bf16* to) {
  const int64_t left = std::clamp<int64_t>(-windows.w0, 0, band.w),
                right = std::clamp<int64_t>(windows.w - windows.w0, left, band.w);
  for (int64_t i = 0; i < (rows - 1) * windows.step + windows.taps_h; ++i, to += band.w * windows.c) {
    const int64_t h = first_row * windows.step + windows.h0 + i;
    const bool inside = h >= 0 && h < windows.h;
    std::fill(to, to + (inside ? left : band.w) * windows.c, bf16(0.0f));
    if (!inside) continue;
    std::memcpy(to + left * windows.c,
                windows.source + ((n * windows.h + h) * windows.w + windows.w0 + left) * windows.c,
                static_cast<size_t>((right - left) * windows.c) * sizeof(bf16));
    std::fill(to + right * windows.c, to + band.w * windows.c, bf16(0.0f));
  }
}

}  // namespace

bool fit(const GemmKernelsOf<Bf16Pair>& kernels, const Windows<bf16>& windows, int64_t outputs) {
  return kernels.multiply_windows != nullptr && windows.c % 32 == 0 && outputs % kernels.columns == 0 &&
         tile_height(windows.q) > 0 && windows.taps_h * windows.taps_w > 1 &&
         windows.taps_h * windows.taps_w <= most_taps && windows.n * Band(windows).count >= few_tasks;
}

void correlate(const GemmKernelsOf<Bf16Pair>& kernels, const Windows<bf16>& windows, const Bf16Pair* panels,
               int64_t outputs, bf16* y, void* workspace) {
  const Band band(windows);
  const int64_t c = windows.c / 2, height = tile_height(windows.q);
  int64_t taps[most_taps];
  for (int64_t t = 0; t < windows.taps_h * windows.taps_w; ++t)
    taps[t] = (t / windows.taps_w * band.w + t % windows.taps_w) * c;
#pragma omp parallel for collapse(2) schedule(dynamic, 1) num_threads(workers(windows.n* band.count))
  for (int64_t n = 0; n < windows.n; ++n)
    for (int64_t b = 0; b < band.count; ++b) {
      bf16* const copy = static_cast<bf16*>(workspace) + omp_get_thread_num() * band.numbers(windows.c);
      const int64_t first = b * band.rows, rows = std::min(band.rows, windows.p - first);
      copy_band(windows, band, n, first, rows, copy);
      kernels.multiply_windows({.tiles = rows * windows.q / height,
                                .height = height,
                                .tiles_per_row = windows.q / height,
                                .a = reinterpret_cast<const Bf16Pair*>(copy),
                                .pixel = windows.step * c,
                                .row = windows.step * band.w * c,
                                .taps = taps,
                                .tap_count = windows.taps_h * windows.taps_w,
                                .depth = c,
                                .n = outputs,
                                .b = panels,
                                .b_panel = windows.depth() / 2 * kernels.columns,
                                .rounded = y + (n * windows.p + first) * windows.q * outputs,
                                .rounded_row = outputs});
    }
}

size_t correlate_bytes(const Windows<bf16>& windows) {
  const Band band(windows);
  return static_cast<size_t>(workers(windows.n * band.count) * band.numbers(windows.c)) * sizeof(bf16);
}

}  // namespace rt::cpu::padded
