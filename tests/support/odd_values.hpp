// NaNs, infinities and zeros of both signs among other values.
#pragma once
#include <cmath>
#include <cstring>

#include "tests/support/run_row.hpp"

namespace rt::testing {

inline Tensor with_oddities(Tensor t) {
  if (t.spec().dtype != DType::f32) return as_type(with_oddities(as_type(t, DType::f32)), t.spec().dtype);
  const float odd[] = {NAN, INFINITY, -INFINITY, -0.0f, 0.0f};
  for (int64_t i = 0; i < t.spec().shape.numel(); i += 7) t.as<float>()[i] = odd[(i / 7) % 5];
  return t;
}

// NaNs may differ in sign and payload; everything else must agree to the bit.
template <class T>
bool same_values_of(const Tensor& a, const Tensor& b) {
  for (int64_t i = 0; i < a.spec().shape.numel(); ++i) {
    const T p = a.as<T>()[i], q = b.as<T>()[i];
    const bool nan = std::isnan(static_cast<float>(p));
    if (nan != std::isnan(static_cast<float>(q)) || (!nan && std::memcmp(&p, &q, sizeof p) != 0)) return false;
  }
  return a.spec() == b.spec();
}
inline bool same_values(const Tensor& a, const Tensor& b) {
  return (a.spec().dtype == DType::bf16 ? same_values_of<bf16> : same_values_of<float>)(a, b);
}

}  // namespace rt::testing
