// What a device computes in where the user does not say.
#pragma once
#include <string>

#include "core/step.hpp"

namespace rt {

struct ComputeDefaults {
  Layout layout;
  DType precision;
  std::string layout_reason, precision_reason;
};
ComputeDefaults compute_defaults(const Target& target);

}  // namespace rt
