// Pooling of NHWC images, vectors along the channels. The backward pass of max pooling gathers: each pixel of dx asks
// the windows that cover it whether it was their maximum, so dx is written once and nothing is cleared before.
#include "kernels/pool/pool_simd.hpp"

#include "kernels/simd/memory_simd.hpp"

namespace rt::RT_ISA {
namespace {

constexpr int64_t block = 256;  // channels whose running results stay in L1

int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }

// best and place take over the larger of themselves and `taps` adjacent pixels of x; a NaN wins, as in PyTorch.
template <int taps, class T>
void take_larger(const T* x, int64_t channels, int32_t first_place, float* best, int32_t* place, int64_t width) {
#pragma omp simd
  for (int64_t c = 0; c < width; ++c) {
    float b = best[c];
    int32_t at = place[c];
#pragma GCC unroll 3
    for (int t = 0; t < taps; ++t) {
      const float v = x[t * channels + c];
      const bool take = (v > b) | (v != v);
      b = take ? v : b;
      at = take ? first_place + t : at;
    }
    best[c] = b;
    place[c] = at;
  }
}

template <class T>
void max_forward(const PoolWindow& m, const T* x, int64_t p, T* y_row, uint8_t* index_row) {
  float best[block];
  int32_t place[block];
  const int64_t r0 = max(0, m.pad - p * m.stride), r1 = min(m.kernel, m.h + m.pad - p * m.stride);
  for (int64_t q = 0; q < m.q; ++q) {
    const int64_t s0 = max(0, m.pad - q * m.stride), s1 = min(m.kernel, m.w + m.pad - q * m.stride);
    const T* corner = x + ((p * m.stride - m.pad) * m.w + q * m.stride - m.pad) * m.channels;
    for (int64_t c0 = 0; c0 < m.channels; c0 += block) {
      const int64_t width = min(block, m.channels - c0);
      auto pixel = [&](int64_t r, int64_t s) { return corner + (r * m.w + s) * m.channels + c0; };
      auto code = [&](int64_t r, int64_t s) { return static_cast<int32_t>(r * m.kernel + s); };
      const T* first = pixel(r0, s0);
#pragma omp simd
      for (int64_t c = 0; c < width; ++c) best[c] = first[c], place[c] = code(r0, s0);
      for (int64_t r = r0; r < r1; ++r) {
        int64_t s = s0;
        for (; s + 3 <= s1; s += 3) take_larger<3>(pixel(r, s), m.channels, code(r, s), best, place, width);
        for (; s < s1; ++s) take_larger<1>(pixel(r, s), m.channels, code(r, s), best, place, width);
      }
      T* y = y_row + q * m.channels + c0;
      uint8_t* index = index_row + q * m.channels + c0;
      write<false>(y, width, [&](auto at) { return at(best); });
#pragma omp simd
      for (int64_t c = 0; c < width; ++c) index[c] = static_cast<uint8_t>(place[c]);
    }
  }
}

template <bool stream, class T>
void max_backward(const PoolWindow& m, const T* dy, const uint8_t* index, int64_t h, T* dx_row) {
  // Windows that cover coordinate i of x: from below(i) to above(i).
  auto below = [&](int64_t i) { return max(0, (i + m.pad - m.kernel + m.stride) / m.stride); };
  auto above = [&](int64_t i, int64_t windows) { return min(windows - 1, (i + m.pad) / m.stride); };
  const int64_t p0 = below(h), p1 = above(h, m.p);
  float sum[block];
  for (int64_t w = 0; w < m.w; ++w) {
    const int64_t q0 = below(w), q1 = above(w, m.q);
    for (int64_t c0 = 0; c0 < m.channels; c0 += block) {
      const int64_t width = min(block, m.channels - c0);
      for (int64_t c = 0; c < width; ++c) sum[c] = 0;
      for (int64_t p = p0; p <= p1; ++p)
        for (int64_t q = q0; q <= q1; ++q) {
          const int64_t at = (p * m.q + q) * m.channels + c0;
          const T* d = dy + at;
          const uint8_t* place = index + at;
          const int32_t code = static_cast<int32_t>((h - p * m.stride + m.pad) * m.kernel + (w - q * m.stride + m.pad));
#pragma omp simd
          for (int64_t c = 0; c < width; ++c) sum[c] += static_cast<int32_t>(place[c]) == code ? d[c] : 0.0f;
        }
      write<stream>(dx_row + w * m.channels + c0, width, [&](auto place) { return place(sum); });
    }
  }
  finish_writes<stream>();
}

template <class T>
void any_max_backward(const PoolWindow& m, const T* dy, const uint8_t* index, int64_t h, T* dx_row, bool stream) {
  (stream ? max_backward<true, T> : max_backward<false, T>)(m, dy, index, h, dx_row);
}

template <class T>
void mean_forward(const T* x, int64_t pixels, int64_t channels, T* y) {
  constexpr int64_t wide = 2048;  // most often all of them: pixels are then read in the order of memory
  double sum[wide];
  for (int64_t c0 = 0; c0 < channels; c0 += wide) {
    const int64_t width = min(wide, channels - c0);
    for (int64_t c = 0; c < width; ++c) sum[c] = 0;
    for (int64_t i = 0; i < pixels; ++i) {
      keep_row_order();
#pragma omp simd
      for (int64_t c = 0; c < width; ++c) sum[c] += static_cast<double>(static_cast<float>(x[i * channels + c0 + c]));
    }
    for (int64_t c = 0; c < width; ++c)
      y[c0 + c] = static_cast<T>(static_cast<float>(sum[c] / static_cast<double>(pixels)));
  }
}

template <class T>
void mean_backward(const T* dy, int64_t pixels, int64_t channels, T* dx) {
  const float area = static_cast<float>(pixels);
  write<false>(dx, channels, [=](auto at) { return at(dy) / area; });
  for (int64_t i = 1; i < pixels; ++i) write<false>(dx + i * channels, channels, [=](auto at) { return at(dx); });
}

}  // namespace

extern const PoolKernels pool_kernels;  // kernels/isa.hpp declares it, for each instruction set
const PoolKernels pool_kernels = {{max_forward, any_max_backward, mean_forward, mean_backward},
                                  {max_forward, any_max_backward, mean_forward, mean_backward}};

}  // namespace rt::RT_ISA
