// One vector of the instruction set that a *_simd.cpp file is being compiled for, in the compilers' own vector
// arithmetic: a * b + c is one fused multiply-add where the set has it (these files are built with -ffp-contract=fast).
// Numbers are computed with in f32 and lie in memory as f32 or bf16; load and store convert.
// Include it in *_simd.cpp files only: what it defines differs between the builds of one file, hence the namespace.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "core/half.hpp"

#define RT_INLINE inline __attribute__((always_inline))

namespace rt::RT_ISA {

#if defined(RT_ISA_avx512) || defined(RT_ISA_avx512_bf16) || defined(RT_ISA_amx)
inline constexpr int lanes = 16;
#elif defined(RT_ISA_avx2)
inline constexpr int lanes = 8;
#else
inline constexpr int lanes = 4;
#endif

using Vec = float __attribute__((vector_size(lanes * sizeof(float))));

inline Vec load(const float* p) {
  using Unaligned = float __attribute__((vector_size(lanes * sizeof(float)), aligned(4), may_alias));
  return *reinterpret_cast<const Unaligned*>(p);
}
inline void store(float* p, Vec v) {
  using Unaligned = float __attribute__((vector_size(lanes * sizeof(float)), aligned(4), may_alias));
  *reinterpret_cast<Unaligned*>(p) = v;
}
inline Vec broadcast(float x) { return x - Vec{}; }  // x - 0 is x for every x, so compilers emit the bare broadcast

using VecBits = uint32_t __attribute__((vector_size(lanes * sizeof(uint32_t))));
inline Vec load(const bf16* p) {
  VecBits bits;
#if defined(__SSE2__) && !defined(__AVX2__)
  using Halves = uint16_t __attribute__((vector_size(lanes * sizeof(uint16_t)), aligned(2), may_alias));
  bits = __builtin_convertvector(*reinterpret_cast<const Halves*>(p), VecBits) << 16;
#else  // GCC makes this one widening instruction, of the conversion of a vector five to nine
  for (int i = 0; i < lanes; ++i) bits[i] = static_cast<uint32_t>(p[i].bits) << 16;
#endif
  return reinterpret_cast<Vec>(bits);
}
inline void store(bf16* p, Vec v) {
  const VecBits bits = bf16_of_f32(reinterpret_cast<VecBits>(v));
  for (int i = 0; i < lanes; ++i) p[i].bits = static_cast<uint16_t>(bits[i]);
}

// What a load would find where v was stored as T.
template <class T>
Vec stored(Vec v);
template <>
inline Vec stored<float>(Vec v) {
  return v;
}
template <>
inline Vec stored<bf16>(Vec v) {
  return reinterpret_cast<Vec>(bf16_of_f32(reinterpret_cast<VecBits>(v)) << 16);
}

}  // namespace rt::RT_ISA
