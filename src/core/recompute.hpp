// Memory for time: a value that waits long for its next reader is dropped after the last early one and made once more
// right before the first late one, by the same steps from the same inputs, so with the same bits. `cheap` repeats
// single steps whose inputs are there anyway. `blocks` repeats whole parts of the forward pass as well, of which only
// the values between parts stay (Chen et al., "Training deep nets with sublinear memory cost", 2016).
#pragma once
#include <string_view>

#include "core/lifetime.hpp"

namespace rt {

enum class Recompute : uint8_t { none, cheap, blocks };
Recompute recompute_named(std::string_view name);  // "cheap"

struct RecomputeOptions {
  Recompute what = Recompute::none;
  std::span<const std::string_view> cheap = {};  // kinds of steps that cost little and depend on their inputs alone
  Var seed = {};                                 // the first step that reads it begins the backward pass
};

// Repeats what lowers the most bytes that are in use at any one step, and nothing else. Returns how many steps it
// added.
int recompute(StepList& list, std::span<const Var> keep, Device device, const RecomputeOptions& options);

}  // namespace rt
