// 16-bit floats as they lie in memory: converted to f32 to compute with, rounded to nearest even when they are made.
// Every conversion to bf16 goes through bf16_of_f32, on the host one element or a vector of them at a time. The vector
// kernels include this file, so it includes no standard library, and what is inline is always inlined: no copy built
// for one instruction set can be linked into the code for another.
#pragma once
#include <stdint.h>

#include "core/host_device.hpp"

namespace rt {

// The upper half of f32 bits, rounded; U is uint32_t or a vector of it. A NaN stays one.
template <class U>
[[gnu::always_inline]] RT_HOST_DEVICE inline U bf16_of_f32(U bits) {
  const auto nan = (bits & 0x7fffffffu) > 0x7f800000u;  // rounded up it could become infinity or zero
  return (nan ? bits | 0x400000u : bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}

struct bf16 {
  uint16_t bits;

  bf16() = default;
  [[gnu::always_inline]] explicit bf16(float x) {
    uint32_t u;
    __builtin_memcpy(&u, &x, sizeof u);
    bits = static_cast<uint16_t>(bf16_of_f32(u));
  }
  [[gnu::always_inline]] operator float() const {
    const uint32_t u = static_cast<uint32_t>(bits) << 16;
    float x;
    __builtin_memcpy(&x, &u, sizeof x);
    return x;
  }
};

uint16_t f32_to_f16(float x);
float f16_to_f32(uint16_t x);

struct f16 {
  uint16_t bits;

  f16() = default;
  explicit f16(float x) : bits(f32_to_f16(x)) {}
  operator float() const { return f16_to_f32(bits); }
};

}  // namespace rt
