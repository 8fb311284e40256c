// One vector of the instruction set that a *_simd.cpp file is being compiled for, in the compilers' own vector
// arithmetic: a * b + c is one fused multiply-add where the set has it (these files are built with -ffp-contract=fast).
// Include it in *_simd.cpp files only: what it defines differs between the builds of one file, hence the namespace.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace rt::RT_ISA {

#if defined(RT_ISA_avx512)
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

}  // namespace rt::RT_ISA
