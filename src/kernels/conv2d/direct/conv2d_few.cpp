// Rows of OIHW weights are contiguous in channel and tap, so windows are put in that order, channel by channel, and the
// matrix product takes the weights as they are: in forward as its left operand (each result is a row of weights times a
// column of windows), in dx as its right one, and in dw as its result.
#include "kernels/conv2d/direct/conv2d_few.hpp"

#include <omp.h>

#include <algorithm>
#include <type_traits>

#include "kernels/conv2d/direct/conv2d_windows.hpp"

namespace rt::cpu::few {
namespace {

struct Sizes {
  int64_t pixels, taps_w, taps, depth;
  explicit Sizes(const Conv2dShape& s) : pixels(s.n * s.p * s.q), taps_w(s.s), taps(s.r * taps_w), depth(s.c * taps) {}
};

// The pixel of x that output pixel `p` sees through `tap`, or -1 where that lies outside.
int64_t source(const Conv2dShape& s, int64_t p, int64_t tap) {
  const int64_t taps_w = s.s;
  const int64_t h = p / s.q % s.p * s.stride - s.pad + tap / taps_w, w = p % s.q * s.stride - s.pad + tap % taps_w;
  return h < 0 || h >= s.h || w < 0 || w >= s.w ? -1 : (p / s.q / s.p * s.h + h) * s.w + w;
}

// Writes every value d of pixel p's window to put(d), channel by channel.
template <class T, class Put>
void copy_window(const Conv2dShape& s, const Sizes& size, const T* x, int64_t p, Put put) {
  for (int64_t tap = 0; tap < size.taps; ++tap) {
    const int64_t from = source(s, p, tap);
    for (int64_t c = 0; c < s.c; ++c)
      put(c * size.taps + tap) = from < 0 ? 0.0f : static_cast<float>(x[from * s.c + c]);
  }
}

// The matrix product takes f32. Weights in bf16 are widened in parts that stay in a cache until they have been
// multiplied, so that memory is read at bf16's size; reading the weights is all that counts here.
template <class T>
constexpr bool narrow = std::is_same_v<T, bf16>;

// A matrix with a row stride as f32: itself, or a copy without gaps in `space`, whose stride is `columns`.
struct Matrix {
  const float* data;
  int64_t row;
};
template <class T>
Matrix widened(const T* from, int64_t rows, int64_t columns, int64_t row, float* space) {
  if constexpr (narrow<T>) {
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j) space[i * columns + j] = from[i * row + j];
    return {space, columns};
  } else {
    return {from, row};
  }
}

constexpr int64_t forward_block = 24;  // rows of weights that a task takes
constexpr int64_t dx_panels = 4;       // columns of them that it takes, so many panels: whole cache lines in bf16 too

}  // namespace

template <class T>
void forward(const GemmKernels& kernels, const Conv2dShape& s, const T* x, const T* w, T* y, void* space) {
  const Sizes size(s);
  const int64_t columns = kernels.columns, padded = round_up(size.pixels, columns);
  float* const windows = static_cast<float*>(space);
  float* const result = windows + padded * size.depth;  // [K][pixels]
#pragma omp parallel num_threads(threads_in_use())
  {
    float* const own = result + s.k * padded + omp_get_thread_num() * forward_block * size.depth;
#pragma omp for schedule(static)
    for (int64_t p = 0; p < padded; ++p) {
      float* const to = windows + p / columns * size.depth * columns + p % columns;
      if (p < size.pixels)
        copy_window(s, size, x, p, [&](int64_t d) -> float& { return to[d * columns]; });
      else
        for (int64_t d = 0; d < size.depth; ++d) to[d * columns] = 0;
    }
#pragma omp for schedule(dynamic, 1)
    for (int64_t k = 0; k < s.k; k += forward_block) {
      const int64_t count = std::min(forward_block, s.k - k);
      const Matrix rows = widened(w + k * size.depth, count, size.depth, size.depth, own);
      kernels.multiply({.m = count,
                        .n = padded,
                        .depth = size.depth,
                        .a = rows.data,
                        .a_row = rows.row,
                        .a_step = 1,
                        .b = windows,
                        .b_panel = size.depth * columns,
                        .b_step = columns,
                        .c = result + k * padded,
                        .c_row = padded,
                        .accumulate = false});
    }
#pragma omp for schedule(static)
    for (int64_t p = 0; p < size.pixels; ++p)
      for (int64_t k = 0; k < s.k; ++k) y[p * s.k + k] = T(result[k * padded + p]);
  }
}

template <class T>
size_t forward_bytes(const GemmKernels& kernels, const Conv2dShape& s) {
  const Sizes size(s);
  const int64_t own = narrow<T> ? threads_in_use() * forward_block * size.depth : 0;
  return static_cast<size_t>(round_up(size.pixels, kernels.columns) * (size.depth + s.k) + own) * sizeof(float);
}

template <class T>
void dx(const GemmKernels& kernels, const Conv2dShape& s, const T* dy, const T* w, T* dx, void* space) {
  constexpr int64_t at_once = 64;  // channels
  const Sizes size(s);
  float* const windows = static_cast<float*>(space);  // their gradients, [pixels][depth]
  float* const free = windows + size.pixels * size.depth;
  const int64_t task = dx_panels * kernels.columns;
  const Matrix gradients = widened(dy, size.pixels, s.k, s.k, free);
#pragma omp parallel num_threads(threads_in_use())
  {
    float* const own = free + size.pixels * s.k + omp_get_thread_num() * s.k * task;
#pragma omp for schedule(dynamic, 1)
    for (int64_t d = 0; d < size.depth; d += task) {
      const int64_t count = std::min(task, size.depth - d);
      const Matrix panels = widened(w + d, s.k, count, size.depth, own);
      kernels.multiply({.m = size.pixels,
                        .n = count,
                        .depth = s.k,
                        .a = gradients.data,
                        .a_row = s.k,
                        .a_step = 1,
                        .b = panels.data,
                        .b_panel = kernels.columns,
                        .b_step = panels.row,
                        .c = windows + d,
                        .c_row = size.depth,
                        .accumulate = false});
    }
#pragma omp for schedule(static)
    for (int64_t at = 0; at < s.n * s.h * s.w; ++at) {
      const int64_t n = at / s.w / s.h, padded_h = at / s.w % s.h + s.pad, padded_w = at % s.w + s.pad;
      for (int64_t first = 0; first < s.c; first += at_once) {
        const int64_t count = std::min(at_once, s.c - first);
        float sum[at_once] = {};
        for (int64_t tap = 0; tap < size.taps; ++tap) {
          const int64_t i = padded_h - tap / size.taps_w, j = padded_w - tap % size.taps_w;
          if (i < 0 || j < 0 || i % s.stride || j % s.stride || i / s.stride >= s.p || j / s.stride >= s.q) continue;
          const float* from =
              windows + ((n * s.p + i / s.stride) * s.q + j / s.stride) * size.depth + first * size.taps + tap;
          for (int64_t c = 0; c < count; ++c) sum[c] += from[c * size.taps];
        }
        for (int64_t c = 0; c < count; ++c) dx[at * s.c + first + c] = T(sum[c]);
      }
    }
  }
}

template <class T>
size_t dx_bytes(const GemmKernels& kernels, const Conv2dShape& s) {
  const Sizes size(s);
  const int64_t wide = narrow<T> ? size.pixels * s.k + threads_in_use() * s.k * dx_panels * kernels.columns : 0;
  return static_cast<size_t>(size.pixels * size.depth + wide) * sizeof(float);
}

template <class T>
void dw(const GemmKernels& kernels, const Conv2dShape& s, const T* dy, const T* x, T* dw, void* space) {
  const Sizes size(s);
  float* const windows = static_cast<float*>(space);
  const int64_t columns = kernels.columns, panel = size.pixels * columns;
  const Matrix gradients = widened(dy, size.pixels, s.k, s.k, windows + size.pixels * size.depth);
#pragma omp parallel num_threads(threads_in_use())
  {
#pragma omp for schedule(static)
    for (int64_t p = 0; p < size.pixels; ++p)
      copy_window(s, size, x, p,
                  [&](int64_t d) -> float& { return windows[d / columns * panel + p * columns + d % columns]; });
#pragma omp for schedule(dynamic, 4)
    for (int64_t d = 0; d < size.depth; d += columns) {
      GemmBlock block{.m = s.k,
                      .n = columns,
                      .depth = size.pixels,
                      .a = gradients.data,
                      .a_row = 1,
                      .a_step = s.k,
                      .b = windows + d / columns * panel,
                      .b_panel = panel,
                      .b_step = columns,
                      .c = windows,
                      .c_row = size.depth,
                      .accumulate = false};
      if constexpr (narrow<T>) {  // then C, which must be given, is not touched
        block.rounded = dw + d;
        block.rounded_row = size.depth;
      } else {
        block.c = dw + d;
      }
      kernels.multiply(block);
    }
  }
}

template <class T>
size_t dw_bytes(const GemmKernels&, const Conv2dShape& s) {
  const Sizes size(s);
  return static_cast<size_t>(size.pixels * (size.depth + (narrow<T> ? s.k : 0))) * sizeof(float);
}

#define RT_FEW(T)                                                                                  \
  template void forward<T>(const GemmKernels&, const Conv2dShape&, const T*, const T*, T*, void*); \
  template void dx<T>(const GemmKernels&, const Conv2dShape&, const T*, const T*, T*, void*);      \
  template void dw<T>(const GemmKernels&, const Conv2dShape&, const T*, const T*, T*, void*);      \
  template size_t forward_bytes<T>(const GemmKernels&, const Conv2dShape&);                        \
  template size_t dx_bytes<T>(const GemmKernels&, const Conv2dShape&);                             \
  template size_t dw_bytes<T>(const GemmKernels&, const Conv2dShape&);
RT_FEW(float)
RT_FEW(bf16)

}  // namespace rt::cpu::few

namespace rt::cpu {

std::string refuse_conv2d_few(const Problem& p) {
  if (std::string why = refuse_conv2d_gemm(p); !why.empty()) return why;
  if (!few::fits(conv2d_shape(p))) return rt::format("for up to {} pixels of many channels", few::most_pixels);
  return "";
}

}  // namespace rt::cpu
