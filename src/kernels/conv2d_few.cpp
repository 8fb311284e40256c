// Rows of OIHW weights are contiguous in channel and tap, so windows are put in that order, channel by channel, and the
// weights are an operand of the matrix product as they are: of forward its left one (each result is a row of weights times a
// column of windows), of dx its right one, and of dw the result.
#include "kernels/conv2d_few.hpp"

#include <algorithm>

#include "kernels/conv2d_windows.hpp"

namespace rt::cpu::few {
namespace {

struct Sizes {
  int64_t pixels, taps, depth;
  explicit Sizes(const Conv2dShape& s) : pixels(s.n * s.p * s.q), taps(s.r * s.s), depth(s.c * taps) {}
};

// The pixel of x that output pixel `p` sees through `tap`, or -1 where that lies outside.
int64_t source(const Conv2dShape& s, int64_t p, int64_t tap) {
  const int64_t h = p / s.q % s.p * s.stride - s.pad + tap / s.s, w = p % s.q * s.stride - s.pad + tap % s.s;
  return h < 0 || h >= s.h || w < 0 || w >= s.w ? -1 : (p / s.q / s.p * s.h + h) * s.w + w;
}

// put(d) -> place of window value d of pixel p, for every d, channel by channel.
template <class Put>
void copy_window(const Conv2dShape& s, const Sizes& size, const float* x, int64_t p, Put put) {
  for (int64_t tap = 0; tap < size.taps; ++tap) {
    const int64_t from = source(s, p, tap);
    for (int64_t c = 0; c < s.c; ++c) put(c * size.taps + tap) = from < 0 ? 0.0f : x[from * s.c + c];
  }
}

}  // namespace

void forward(const GemmKernels& kernels, const Conv2dShape& s, const float* x, const float* w, float* y, void* space) {
  constexpr int64_t block = 24;  // rows of weights that a task takes
  const Sizes size(s);
  const int64_t columns = kernels.columns, padded = round_up(size.pixels, columns);
  float *const windows = static_cast<float*>(space), *const result = windows + padded * size.depth;  // [K][pixels]
#pragma omp parallel
  {
#pragma omp for schedule(static)
    for (int64_t p = 0; p < padded; ++p) {
      float* const to = windows + p / columns * size.depth * columns + p % columns;
      if (p < size.pixels)
        copy_window(s, size, x, p, [&](int64_t d) -> float& { return to[d * columns]; });
      else
        for (int64_t d = 0; d < size.depth; ++d) to[d * columns] = 0;
    }
#pragma omp for schedule(dynamic, 1)
    for (int64_t k = 0; k < s.k; k += block) {
      const int64_t count = std::min(block, s.k - k);
      kernels.multiply({count, padded, size.depth, w + k * size.depth, size.depth, 1, windows, size.depth * columns,
                        columns, result + k * padded, padded, false});
    }
#pragma omp for schedule(static)
    for (int64_t p = 0; p < size.pixels; ++p)
      for (int64_t k = 0; k < s.k; ++k) y[p * s.k + k] = result[k * padded + p];
  }
}

size_t forward_bytes(const GemmKernels& kernels, const Conv2dShape& s) {
  const Sizes size(s);
  return static_cast<size_t>(round_up(size.pixels, kernels.columns) * (size.depth + s.k)) * sizeof(float);
}

void dx(const GemmKernels& kernels, const Conv2dShape& s, const float* dy, const float* w, float* dx, void* space) {
  const Sizes size(s);
  float* const windows = static_cast<float*>(space);  // their gradients, [pixels][depth]
  const int64_t columns = kernels.columns;
#pragma omp parallel
  {
#pragma omp for schedule(dynamic, 4)
    for (int64_t d = 0; d < size.depth; d += columns)
      kernels.multiply(
          {size.pixels, columns, s.k, dy, s.k, 1, w + d, columns, size.depth, windows + d, size.depth, false});
#pragma omp for schedule(static)
    for (int64_t at = 0; at < s.n * s.h * s.w; ++at) {
      float* const to = dx + at * s.c;
      const int64_t n = at / s.w / s.h, h = at / s.w % s.h + s.pad, v = at % s.w + s.pad;
      std::fill_n(to, s.c, 0.0f);
      for (int64_t tap = 0; tap < size.taps; ++tap) {
        const int64_t i = h - tap / s.s, j = v - tap % s.s;
        if (i < 0 || j < 0 || i % s.stride || j % s.stride || i / s.stride >= s.p || j / s.stride >= s.q) continue;
        const float* from = windows + ((n * s.p + i / s.stride) * s.q + j / s.stride) * size.depth + tap;
        for (int64_t c = 0; c < s.c; ++c) to[c] += from[c * size.taps];
      }
    }
  }
}

size_t dx_bytes(const GemmKernels&, const Conv2dShape& s) {
  const Sizes size(s);
  return static_cast<size_t>(size.pixels * size.depth) * sizeof(float);
}

void dw(const GemmKernels& kernels, const Conv2dShape& s, const float* dy, const float* x, float* dw, void* space) {
  const Sizes size(s);
  float* const windows = static_cast<float*>(space);
  const int64_t columns = kernels.columns, panel = size.pixels * columns;
#pragma omp parallel
  {
#pragma omp for schedule(static)
    for (int64_t p = 0; p < size.pixels; ++p)
      copy_window(s, size, x, p,
                  [&](int64_t d) -> float& { return windows[d / columns * panel + p * columns + d % columns]; });
#pragma omp for schedule(dynamic, 4)
    for (int64_t d = 0; d < size.depth; d += columns)
      kernels.multiply({s.k, columns, size.pixels, dy, 1, s.k, windows + d / columns * panel, panel, columns, dw + d,
                        size.depth, false});
  }
}

size_t dw_bytes(const GemmKernels& kernels, const Conv2dShape& s) { return dx_bytes(kernels, s); }

std::string refuse(const Problem& p, const Spec& x, const Spec& w) {
  if (std::string why = refuse_conv2d_gemm(p); !why.empty()) return why;
  if (!fits(conv2d_shape(p.op, x, w))) return rt::format("for up to {} pixels of many channels", most_pixels);
  return "";
}

}  // namespace rt::cpu::few
