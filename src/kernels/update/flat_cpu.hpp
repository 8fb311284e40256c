// What rows over flat buffers share on the CPU.
#pragma once
#include "kernels/reference.hpp"

namespace rt::cpu {

// Parameters at a time: a norm summed by chunks, in order, does not depend on the thread count.
constexpr int64_t flat_chunk = 1 << 14;

// Of norm as control.hpp has it.
inline bool update_happens(const View& norm) { return norm.as<float>()[1] != 0.0f; }
inline float gradient_factor(const View& norm) { return norm.as<float>()[2]; }

// Elements begin to end of `from`, rounded to the type of `half`.
inline void round_part(const View& half, const float* from, int64_t begin, int64_t end) {
  with_type(half, [&](auto zero) {
    using T = decltype(zero);
    T* to = half.as<T>();
    for (int64_t i = begin; i < end; ++i) to[i] = static_cast<T>(from[i]);
  });
}

}  // namespace rt::cpu
