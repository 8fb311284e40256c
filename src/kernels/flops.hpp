// What a step computes and moves, counted from its shapes: the figures that benchmarks divide by a time. `effective`
// counts every multiply-add of the definition; `done` counts those that the row really does, which is fewer by
// Winograd's algorithm.
#pragma once
#include <optional>

#include "kernels/conv2d/conv2d.hpp"

namespace rt {

struct Work {
  // Of matrix products and convolutions; 0 for steps that only stream memory.
  double flops_effective = 0, flops_done = 0;
  double bytes = 0;  // every input read once, every output written once
};
// `problem` has the row's names for its operands, as that of a step has for which a row was chosen.
Work work_of(const Row& row, const Problem& problem);

// The convolution of a step of any kind of it, fused ones too; none of all other steps.
std::optional<Conv2dShape> conv2d_of(const Problem& problem);

}  // namespace rt
