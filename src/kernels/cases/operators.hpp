// The cases of each operator: a new one adds NAME_cases here, a file beside this one, and a line in cases.cpp.
#pragma once
#include "kernels/cases/cases.hpp"

namespace rt {

using Vars = std::span<const Var>;

struct Cases {
  std::vector<OpCase> small;   // odd sizes and vector-width tails, few enough numbers for finite differences
  std::vector<OpCase> larger;  // cut into several blocks and chunks by rows; for parity alone
};
Cases conv2d_cases();
Cases batch_norm_cases();
Cases elementwise_cases();
Cases pool_cases();
Cases linear_cases();
Cases cross_entropy_cases();
Cases augment_cases();
Cases update_cases();
Cases net_cases();

}  // namespace rt
