// What a step computes and moves, counted from its shapes: the figures that benchmarks divide by a time. `effective`
// counts every multiply-add of the definition; `done` counts those that the row really does, which is fewer by
// Winograd's algorithm. Rows that compute so are known by their name, which holds ".winograd".
#pragma once
#include <optional>
#include <string_view>

#include "kernels/conv2d/conv2d.hpp"

namespace rt {

struct Work {
  double flops_effective = 0,
         flops_done = 0;  // of matrix products and convolutions; 0 for steps that only stream memory
  double bytes = 0;       // every input read once, every output written once
};
Work work_of(std::string_view kind, std::string_view row, const Problem& problem);

// The convolution of a step of any conv2d kind, fused ones too; x and w stand where the kind says (conv2d_fusion.hpp).
// Other kinds have none.
std::optional<Conv2dShape> conv2d_of(std::string_view kind, const Problem& problem);

// Multiply-adds of Winograd's algorithm over those of the definition: 36/144 with stride 1 and 81/144 with stride 2,
// more where tiles hang over the edge of the output.
double winograd_share(const Conv2dShape& shape);

}  // namespace rt
