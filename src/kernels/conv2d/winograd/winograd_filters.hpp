// For winograd_simd.cpp only: 3x3 filters to and from the transformed domain (WinogradKernels::weights,
// weight_gradients). Filters lie one after the other, nine taps each, while a vector wants the same tap of adjacent
// columns. Eight taps of eight filters are transposed in registers, the ninth tap is copied by itself.
#pragma once
#include "kernels/conv2d/winograd/winograd_lines.hpp"
#include "kernels/simd/eight_simd.hpp"

namespace rt::RT_ISA {

constexpr int panel = 2 * lanes;              // columns of one, as in gemm_simd.cpp
constexpr int group = lanes < 8 ? 8 : lanes;  // columns that are transposed at a time
constexpr int64_t filter_block = 16;          // filters along the depth: memory is read and written in runs

template <class S, class T>
void weights(const T* w, int64_t column_stride, int64_t depth_stride, int64_t count, int64_t depth, float* u,
             int64_t plane) {
  alignas(64) float filter[filter_block][9][panel] = {};
  for (int64_t i0 = 0; i0 < depth; i0 += filter_block) {
    for (int64_t j0 = 0; j0 < count; j0 += 8)
      for (int64_t i = 0; i < filter_block; ++i) {
        const T* from = w + j0 * column_stride + (i0 + i) * depth_stride;
        Eight taps[8];
#pragma GCC unroll 8
        for (int j = 0; j < 8; ++j) {
          taps[j] = eight(from + j * column_stride);
          filter[i][8][j0 + j] = static_cast<float>(from[j * column_stride + 8]);
        }
        transpose(taps);
#pragma GCC unroll 8
        for (int tap = 0; tap < 8; ++tap) put_eight(&filter[i][tap][j0], taps[tap]);
      }
    for (int64_t j0 = 0; j0 < panel; j0 += lanes)
      for (int64_t i = 0; i < filter_block; ++i)
        both_sides<3, 6, S::weight>(
            [&](int r, int q) { return load(&filter[i][r * 3 + q][j0]); },
            [&](int r, int q, Vec x) { store(u + (r * 6 + q) * plane + (i0 + i) * panel + j0, x); });
  }
}

template <class S, class T>
void weight_gradients(const float* du, int64_t plane, int64_t row, int64_t chunks, int64_t chunk_stride,
                      int64_t column_stride, int64_t depth_stride, int64_t count, int64_t depth, T* dw) {
  alignas(64) float filter[filter_block][9][group];
  for (int64_t i0 = 0; i0 < depth; i0 += filter_block)
    for (int64_t j0 = 0; j0 < count; j0 += group) {
      for (int64_t i = 0; i < filter_block; ++i)
        for (int64_t j = 0; j < group; j += lanes)
          both_sides<6, 3, S::weight_adjoint>(
              [&](int r, int q) {
                const float* from = du + (r * 6 + q) * plane + (i0 + i) * row + j0 + j;
                Vec sum = load(from);
                __builtin_prefetch(from + row, 0, 2);
                for (int64_t chunk = 1; chunk < chunks; ++chunk) {
                  sum += load(from + chunk * chunk_stride);
                  __builtin_prefetch(from + chunk * chunk_stride + row, 0, 2);
                }
                return sum;
              },
              [&](int r, int q, Vec x) { store(&filter[i][r * 3 + q][j], x); });
      for (int64_t j = 0; j < group; j += 8)
        for (int64_t i = 0; i < filter_block; ++i) {
          T* to = dw + (j0 + j) * column_stride + (i0 + i) * depth_stride;
          Eight taps[8];
#pragma GCC unroll 8
          for (int tap = 0; tap < 8; ++tap) taps[tap] = eight(&filter[i][tap][j]);
          transpose(taps);
#pragma GCC unroll 8
          for (int k = 0; k < 8; ++k) {
            put_eight(to + k * column_stride, taps[k]);
            to[k * column_stride + 8] = T(filter[i][8][j + k]);
          }
        }
    }
}

}  // namespace rt::RT_ISA
