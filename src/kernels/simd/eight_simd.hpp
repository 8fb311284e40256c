// For *_simd.cpp files only: squares of 8 x 8 four-byte numbers, turned over in registers.
#pragma once
#include "kernels/simd/simd.hpp"

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

}  // namespace rt::RT_ISA
