// The rules that fuse steps, in the order in which they are applied (core/rewrite.hpp), and what may be repeated.
#pragma once
#include <span>
#include <string_view>
#include <vector>

#include "core/rewrite.hpp"

namespace rt {

std::span<const Rewrite> fusion_rules();
// Without those named, separated by spaces; Error(usage) for a name that there is not.
std::vector<Rewrite> fusion_rules_without(std::string_view names);
std::span<const std::string_view> cheap_steps();  // kinds that take little time and depend on their inputs alone

}  // namespace rt
