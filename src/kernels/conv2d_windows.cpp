// Copies that bring the operands of convolution into the matrix product's order; no arithmetic here.
#include "kernels/conv2d_windows.hpp"

#include <algorithm>
#include <cstring>

namespace rt::cpu {
namespace {

// Inline for the few floats that a row of taps has in a stem of 3 channels.
void copy(const float* from, float* to, int64_t count) {
  if (count < 4 || count > 64) {
    std::memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
    return;
  }
  for (int64_t i = 0; i < count - 4; i += 4) std::memcpy(to + i, from + i, 4 * sizeof(float));
  std::memcpy(to + count - 4, from + count - 4, 4 * sizeof(float));
}

}  // namespace

void copy_windows(const Windows& v, int64_t first, int64_t count, int64_t d0, int64_t d1, float* to, int64_t to_row) {
  const int64_t run = v.taps_w * v.c, row = v.w * v.c;  // a row of taps is contiguous in the source
  int64_t j = first % v.q, i = first / v.q % v.p, n = first / v.q / v.p;
  for (int64_t pixel = 0; pixel < count; ++pixel, to += to_row) {
    for (int64_t tap = d0 / run; tap * run < d1; ++tap) {
      const int64_t begin = std::max(d0, tap * run), length = std::min(d1, (tap + 1) * run) - begin;
      const int64_t h = i * v.step + v.h0 + tap, at = (j * v.step + v.w0) * v.c + begin - tap * run;
      float* out = to + begin - d0;
      const bool inside = h >= 0 && h < v.h;
      const int64_t left = inside ? std::clamp<int64_t>(-at, 0, length) : length;
      const int64_t right = std::clamp<int64_t>(row - at, left, length);
      std::fill(out, out + left, 0.0f);
      if (left < right) copy(v.source + (n * v.h + h) * row + at + left, out + left, right - left);
      std::fill(out + right, out + length, 0.0f);
    }
    if (++j == v.q) {
      j = 0;
      if (++i == v.p) i = 0, ++n;
    }
  }
}

void pack_weights(const Taps& t, int64_t columns, float* to) {
  constexpr int64_t group = 8;  // so many rows of w are read side by side: more would not stay in the L1 cache
  const int64_t panels = ceil_div(t.outputs, columns);
#pragma omp parallel for schedule(static)
  for (int64_t panel = 0; panel < panels; ++panel)
    for (int64_t j0 = 0; j0 < columns; j0 += group)
      for (int64_t c = 0; c < t.inputs; ++c)
        for (int64_t tap = 0; tap < t.taps_h * t.taps_w; ++tap) {
          const float* w =
              t.w + c * t.input_stride + t.first + tap / t.taps_w * t.h_stride + tap % t.taps_w * t.w_stride;
          float* out = to + (panel * t.depth() + tap * t.inputs + c) * columns + j0;
          const int64_t k = panel * columns + j0;
          for (int64_t j = 0; j < group; ++j) out[j] = k + j < t.outputs ? w[(k + j) * t.output_stride] : 0.0f;
        }
}

void pack_rows(const float* from, int64_t rows, int64_t k, int64_t columns, float* to) {
  for (int64_t j = 0; j < k; j += columns) {
    const int64_t n = std::min(columns, k - j);
    for (int64_t i = 0; i < rows; ++i, to += columns) {
      std::memcpy(to, from + i * k + j, static_cast<size_t>(n) * sizeof(float));
      std::fill(to + n, to + columns, 0.0f);
    }
  }
}

}  // namespace rt::cpu
