// How far values in memory are from each other, whatever their type.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/tensor.hpp"
#include "kernels/cases/cases.hpp"

namespace rt::testing {

// Relative L2 that a case may differ by, fused against not. In bf16 a last bit that falls elsewhere is 4e-3 of its
// value, and goes on through the layers of a net.
inline double fused_tolerance(const OpCase& c, DType dtype) {
  return dtype == DType::f32 ? 1e-5 : c.op == "net" ? 2e-2 : 4e-3;
}

inline std::vector<double> widened(const View& v) {
  const Tensor wide({v.shape(), DType::f64, v.spec.layout});
  copy_convert(v, wide.view());
  return {wide.as<double>(), wide.as<double>() + v.numel()};
}

inline double relative_l2(const View& got, const View& want) {
  if (want.spec.dtype == DType::i32 || want.spec.dtype == DType::u8)  // indices and counts are right or wrong
    return std::memcmp(got.data, want.data, want.spec.bytes()) == 0 ? 0 : INFINITY;
  const std::vector<double> a = widened(got), b = widened(want);
  double difference = 0, norm = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return std::sqrt(difference) / std::max(std::sqrt(norm), 1e-30);
}

inline bool same_bits(const View& a, const View& b) {
  return a.spec == b.spec && std::memcmp(a.data, b.data, a.spec.bytes()) == 0;
}

}  // namespace rt::testing
