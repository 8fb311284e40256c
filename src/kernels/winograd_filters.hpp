// For winograd_simd.cpp only: 3x3 filters to and from the transformed domain (WinogradKernels::weights, weight_gradients). Filters
// lie one after the other, nine taps each; vectors want a tap of neighbouring columns. Eight taps of eight filters turn over
// in registers, the ninth goes by itself.
#pragma once
#include "kernels/winograd_lines.hpp"

namespace rt::RT_ISA {

using Eight = float __attribute__((vector_size(32)));

RT_INLINE Eight eight(const float* p) {
  using Unaligned = float __attribute__((vector_size(32), aligned(4), may_alias));
  return *reinterpret_cast<const Unaligned*>(p);
}
RT_INLINE Eight eight(const bf16* p) {
  Eight v;
  for (int i = 0; i < 8; ++i) v[i] = static_cast<float>(p[i]);
  return v;
}
RT_INLINE void put_eight(float* p, Eight v) {
  using Unaligned = float __attribute__((vector_size(32), aligned(4), may_alias));
  *reinterpret_cast<Unaligned*>(p) = v;
}
RT_INLINE void put_eight(bf16* p, Eight v) {
  for (int i = 0; i < 8; ++i) p[i] = bf16(v[i]);
}

RT_INLINE void transpose(Eight (&row)[8]) {
  Eight pair[8], four[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    pair[i] = __builtin_shufflevector(row[i], row[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    pair[i + 1] = __builtin_shufflevector(row[i], row[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4)
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      four[i + 2 * j] = __builtin_shufflevector(pair[i + j], pair[i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      four[i + 2 * j + 1] = __builtin_shufflevector(pair[i + j], pair[i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    row[i] = __builtin_shufflevector(four[i], four[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    row[i + 4] = __builtin_shufflevector(four[i], four[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

constexpr int panel = 2 * lanes;              // columns of one, as in gemm_simd.cpp
constexpr int group = lanes < 8 ? 8 : lanes;  // columns that are turned over at a time
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
