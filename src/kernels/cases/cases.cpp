#include "kernels/cases/cases.hpp"

#include <algorithm>

#include "kernels/cases/operators.hpp"

namespace rt {
namespace {

constexpr Cases (*of_operators[])() = {
    conv2d_cases,        batch_norm_cases, elementwise_cases, pool_cases, linear_cases,
    cross_entropy_cases, augment_cases,    update_cases,      net_cases,
};

void append(std::vector<OpCase>& to, std::vector<OpCase> from) {
  std::move(from.begin(), from.end(), std::back_inserter(to));
}

}  // namespace

std::vector<OpCase> small_cases() {
  std::vector<OpCase> all;
  for (const auto cases : of_operators) append(all, cases().small);
  return all;
}

std::vector<OpCase> parity_cases() {
  std::vector<OpCase> all = small_cases();
  for (const auto cases : of_operators) append(all, cases().larger);
  return all;
}

std::vector<Layout> layouts_of(const OpCase& c) {
  const bool any = std::any_of(c.in.begin(), c.in.end(), [](const CaseInput& i) {
    return i.shape.rank() == 4 && (i.role == Role::activation || i.role == Role::image);
  });
  return any ? std::vector{Layout::nchw, Layout::nhwc} : std::vector{Layout::nchw};
}

}  // namespace rt
