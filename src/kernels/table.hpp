// Every implementation of every step, best first; see table.cpp. And the rules that fuse steps.
#pragma once
#include <span>

#include "core/rewrite.hpp"
#include "core/step.hpp"

namespace rt {

std::span<const Row> kernel_table();
std::span<const Rewrite> fusion_rules();
std::vector<Rewrite> fusion_rules_without(
    std::string_view names);                      // separated by spaces; an unknown one is a usage error
std::span<const std::string_view> cheap_steps();  // kinds that take little time and depend on their inputs alone

struct ComputeDefaults {  // what a device computes in where the user does not say
  Layout layout;
  DType precision;
  std::string layout_reason, precision_reason;
};
ComputeDefaults compute_defaults(const Target& target);

}  // namespace rt
