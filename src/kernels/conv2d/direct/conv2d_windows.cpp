// Copies that bring the operands of convolution into the matrix product's order; no arithmetic here.
#include "kernels/conv2d/direct/conv2d_windows.hpp"

#include <algorithm>
#include <cstring>

namespace rt::cpu {
namespace {

// The few numbers that a row of taps has in a stem of 3 channels are copied inline.
template <class T>
void copy(const T* from, T* to, int64_t count) {
  if (count < 4 || count > 64) {
    std::memcpy(to, from, static_cast<size_t>(count) * sizeof(T));
    return;
  }
  for (int64_t i = 0; i < count - 4; i += 4) std::memcpy(to + i, from + i, 4 * sizeof(T));
  std::memcpy(to + count - 4, from + count - 4, 4 * sizeof(T));
}
void copy(const bf16* from, float* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = from[i];
}

// Rows and columns of the matrix of windows as single numbers.
template <class T, class To>
void copy_numbers(const Windows<T>& from, int64_t first, int64_t count, int64_t d0, int64_t d1, To* to,
                  int64_t to_row) {
  const int64_t run = from.taps_w * from.c, row = from.w * from.c;  // a row of taps is contiguous in the source
  int64_t j = first % from.q, i = first / from.q % from.p, n = first / from.q / from.p;
  for (int64_t pixel = 0; pixel < count; ++pixel, to += to_row) {
    for (int64_t tap = d0 / run; tap * run < d1; ++tap) {
      const int64_t begin = std::max(d0, tap * run), length = std::min(d1, (tap + 1) * run) - begin;
      const int64_t h = i * from.step + from.h0 + tap, at = (j * from.step + from.w0) * from.c + begin - tap * run;
      To* out = to + begin - d0;
      const bool inside = h >= 0 && h < from.h;
      const int64_t left = inside ? std::clamp<int64_t>(-at, 0, length) : length;
      const int64_t right = std::clamp<int64_t>(row - at, left, length);
      std::fill(out, out + left, To(0.0f));
      if (left < right) copy(from.source + (n * from.h + h) * row + at + left, out + left, right - left);
      std::fill(out + right, out + length, To(0.0f));
    }
    if (++j == from.q) {
      j = 0;
      if (++i == from.p) {
        i = 0;
        ++n;
      }
    }
  }
}

void stack(const bf16* upper, int64_t n, Bf16Pair* to) {
  for (int64_t i = 0; i < n; ++i) to[i] = {upper[i], bf16(0.0f)};
}

}  // namespace

void stack(const bf16* upper, const bf16* lower, int64_t n, Bf16Pair* to) {
  for (int64_t i = 0; i < n; ++i) to[i] = {upper[i], lower[i]};
}

template <class T, class Element>
void copy_windows(const Windows<T>& windows, int64_t first, int64_t count, int64_t d0, int64_t d1, Element* to,
                  int64_t to_row) {
  if constexpr (per<Element> == 1) {
    copy_numbers(windows, first, count, d0, d1, to, to_row);
  } else {
    copy_numbers(windows, first, count, d0, d1, &to->first, 2 * to_row);
    for (int64_t i = 0; (d1 - d0) % 2 != 0 && i < count; ++i) to[i * to_row + (d1 - d0) / 2].second = bf16(0.0f);
  }
}

template <class T, class Element>
void stack_windows(const Windows<T>& windows, int64_t first, int64_t count, int64_t d0, int64_t d1, Element* to,
                   int64_t to_row) {
  if constexpr (per<Element> == 1) {
    copy_numbers(windows, first, count, d0, d1, to, to_row);
  } else {
    constexpr int64_t rows = 8, columns = 512;  // what stays in the L1 cache between the two copies
    bf16 some[rows * columns];
    for (int64_t i = 0; i < count; i += rows)
      for (int64_t d = d0; d < d1; d += columns) {
        const int64_t have = std::min(rows, count - i), width = std::min(columns, d1 - d);
        copy_numbers(windows, first + i, have, d, d + width, some, columns);
        for (int64_t y = 0; y < have; y += 2) {
          Bf16Pair* const out = to + (i + y) / 2 * to_row + d - d0;
          if (y + 1 < have)
            stack(some + y * columns, some + (y + 1) * columns, width, out);
          else
            stack(some + y * columns, width, out);
        }
      }
  }
}

template <class T, class Element>
void pack_weights(const TapWeights<T>& t, int64_t columns, Element* to) {
  constexpr int64_t group = 8;  // so many rows of w are read side by side: more would not stay in the L1 cache
  const int64_t panels = ceil_div(t.outputs, columns), depth = ceil_div(t.depth(), per<Element>);
#pragma omp parallel for schedule(static)
  for (int64_t panel = 0; panel < panels; ++panel)
    for (int64_t j0 = 0; j0 < columns; j0 += group)
      for (int64_t c = 0; c < t.inputs; ++c)
        for (int64_t tap = 0; tap < t.taps_h * t.taps_w; ++tap) {
          const T* w = t.w + c * t.input_stride + t.first + tap / t.taps_w * t.h_stride + tap % t.taps_w * t.w_stride;
          const int64_t k = panel * columns + j0, d = tap * t.inputs + c;
          Element* out = to + (panel * depth + d / per<Element>)*columns + j0;
          for (int64_t j = 0; j < group; ++j) {
            const T x = k + j < t.outputs ? w[(k + j) * t.output_stride] : T(0.0f);
            if constexpr (per<Element> == 1) {
              out[j] = x;
            } else {
              (d % 2 == 0 ? out[j].first : out[j].second) = x;
              if (d % 2 == 0 && d + 1 == t.depth()) out[j].second = bf16(0.0f);
            }
          }
        }
}

template <class T, class Element>
void pack_rows(const T* from, int64_t rows, int64_t k, int64_t columns, Element* to) {
  for (int64_t j = 0; j < k; j += columns) {
    const int64_t n = std::min(columns, k - j);
    for (int64_t i = 0; i < rows; i += per<Element>, to += columns) {
      const T* const row = from + i * k + j;
      if constexpr (per<Element> == 1)
        copy(row, to, n);
      else if (i + 1 < rows)
        stack(row, row + k, n, to);
      else
        stack(row, n, to);
      std::fill(to + n, to + columns, Element{});
    }
  }
}

#define INSTANTIATE(T, Element)                                                                          \
  template void copy_windows(const Windows<T>&, int64_t, int64_t, int64_t, int64_t, Element*, int64_t);  \
  template void stack_windows(const Windows<T>&, int64_t, int64_t, int64_t, int64_t, Element*, int64_t); \
  template void pack_weights(const TapWeights<T>&, int64_t, Element*);                                   \
  template void pack_rows(const T*, int64_t, int64_t, int64_t, Element*);
INSTANTIATE(float, float)
INSTANTIATE(bf16, float)
INSTANTIATE(bf16, Bf16Pair)

}  // namespace rt::cpu
