// Before the first step on CUDA: each kernel that a training step uses does a small case, and so does the CPU's
// reference. One that disagrees is refused, so that the selection table goes on to the next (of a convolution first the
// library's algorithm, so that its next is tried); a passed test is remembered for this program, device, driver and
// libraries.
#pragma once
#include "train/engine/executor.hpp"

namespace rt {

// How many channels the first convolution of its model has.
inline constexpr int64_t self_test_width = 16;

// Returns what was refused for steps of such an executor and model, with reasons, and logs it. Without use_cache
// nothing is remembered or recalled.
std::shared_ptr<const std::vector<RefusedRow>> self_test(const ExecutorOptions& options, const ModelConfig& net,
                                                         bool use_cache = true);

}  // namespace rt
