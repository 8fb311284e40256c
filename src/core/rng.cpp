#include "core/rng.hpp"

#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

namespace rt {

double Rng::normal() {
  const double u = (next() + 0.5) * 0x1p-32, v = (next() + 0.5) * 0x1p-32;  // never 0, so the logarithm is finite
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
}

std::vector<uint32_t> shuffled(uint32_t n, uint64_t seed, RngPurpose purpose, uint32_t epoch) {
  std::vector<uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0u);
  Rng rng(seed, purpose, epoch);
  for (uint32_t i = n; i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
  return order;
}

}  // namespace rt
