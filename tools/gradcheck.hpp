// `rtrain gradcheck` checks every backward pass against central differences of its forward pass, in f64, on an eager
// tape. The output is reduced to a number by a random direction d:  (sum over j of d[j] * (y+[j] - y-[j])) / 2h  is
// compared with the gradient that the tape gives for that direction. Differences are taken output by output, before the
// sum, so that outputs an input does not reach add no rounding.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "core/step.hpp"
#include "kernels/cases/cases.hpp"

namespace rt {

struct GradientCheck {
  std::string op, shape, input;
  Layout layout;  // the one with the larger error
  // The worst over the elements: |analytic - numeric| / max(|analytic|, |numeric|, largest / 100), where `largest` is
  // the largest gradient of that input. Small gradients are judged by its scale.
  double error;
  double tolerance;
  bool ok() const { return error <= tolerance; }  // false for a NaN
};

// Gives one entry per differentiable input. It checks every element of a small input, a seeded sample of a large one.
std::vector<GradientCheck> check_gradients(const OpCase& c, Layout layout, std::span<const Row> table);

std::string gradcheck_table(std::span<const GradientCheck> checks);
std::string gradcheck_json(std::span<const GradientCheck> checks);

// Prints the table of all cases of the named ops (none: all) in every layout. Returns 1 if any fails, else 0.
// Error(usage) lists the known names where one is unknown.
int run_gradcheck(const std::vector<std::string>& ops, bool json);

}  // namespace rt
