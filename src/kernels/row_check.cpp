#include "kernels/row_check.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace rt {

double row_tolerance(std::string_view kind, DType computed_in, std::span<const View> results, size_t i) {
  auto half = [](DType type) { return type == DType::f16 || type == DType::bf16; };
  const DType result = results[i].spec.dtype;
  if (!half(result) && half(results[0].spec.dtype)) return 4 * row_tolerance(kind, computed_in, results, 0);
  if (!half(result)) return kind.starts_with("conv2d.") ? 5e-5 : 1e-5;
  return computed_in == DType::f16 ? 5e-4 : computed_in == DType::bf16 ? 4e-3 : result == DType::f16 ? 5e-4 : 4e-3;
}

std::string mismatch(const View& got, const View& want, double tolerance) {
  RT_CHECK(got.spec == want.spec, "comparing {} with {}", got.spec.str(), want.spec.str());
  const bool exact = want.spec.dtype == DType::i32 || want.spec.dtype == DType::u8;
  const Spec wide{want.spec.shape, DType::f64, want.spec.layout};
  const Tensor a(wide), b(wide);
  copy_convert(got, a.view());
  copy_convert(want, b.view());
  const double *x = a.as<double>(), *y = b.as<double>();
  const int64_t n = want.numel();
  double difference = 0, norm = 0, worst = -1;
  int64_t where = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (x[i] == y[i] || (std::isnan(x[i]) && std::isnan(y[i]))) {
      if (std::isfinite(y[i])) norm += y[i] * y[i];
      continue;
    }
    double d = std::abs(x[i] - y[i]);
    if (std::isnan(d)) d = INFINITY;
    if (d > worst) {
      worst = d;
      where = i;
    }
    difference += d * d;
    norm += std::isfinite(y[i]) ? y[i] * y[i] : 0;
  }
  if (worst < 0) return "";
  const double rms = std::sqrt(norm / static_cast<double>(std::max<int64_t>(n, 1)));
  const double relative = std::sqrt(difference) / std::max(std::sqrt(norm), 1e-30);
  constexpr double element = 64;  // a single one may err more than all together, but not by orders of magnitude
  const bool close =
      !exact && relative <= tolerance && worst <= element * tolerance * std::max(std::abs(y[where]), rms);
  if (close) return "";
  return rt::format(
      "element {} of {} is {:.6g}, the reference has {:.6g} (relative error of all {:.2g}, {:.2g} allowed)", where,
      want.spec.str(), x[where], y[where], relative, exact ? 0 : tolerance);
}

const Row& reference_row(std::span<const Row> table, std::string_view kind) {
  const Row* found = nullptr;
  for (const Row& row : table)
    if (row.kind == kind && row.device == Device::cpu) found = &row;
  RT_CHECK(found, "there is no reference of {}", kind);
  return *found;
}

}  // namespace rt
