#include "kernels/flops.hpp"

#include "core/divide.hpp"
#include "kernels/conv2d/conv2d_fusion.hpp"
#include "kernels/conv2d/winograd/conv2d_winograd.hpp"
#include "kernels/linear/linear.hpp"

namespace rt {

std::optional<Conv2dShape> conv2d_of(const Problem& p) {
  if (!p.kind.name().starts_with("conv2d.")) return {};
  return conv2d_shape(p);
}

Work work_of(const Row& row, const Problem& p) {
  Work work;
  for (std::span<const Spec> specs : {p.in, p.out})
    for (const Spec& spec : specs) work.bytes += static_cast<double>(spec.bytes());
  if (const auto s = conv2d_of(p)) {
    const int passes = Conv2dFusion(p.kind).has_dx && Conv2dFusion(p.kind).has_dw ? 2 : 1;
    work.flops_effective =
        2.0 * passes * static_cast<double>(s->n * s->k * s->p * s->q) * static_cast<double>(s->c * s->r * s->s);
    work.flops_done = work.flops_effective * (row.algorithm == Algorithm::winograd ? winograd_share(*s) : 1);
  } else if (p.kind == kinds::linear_forward || p.kind == kinds::linear_dx || p.kind == kinds::linear_dw) {
    // Each of the [N,K] outputs (or their gradients) meets each of the C inputs.
    const Spec *y = p.find_output("y"), *w = p.find_input("w");
    const Shape& outputs = (y ? *y : p.input("dy")).shape;
    const Shape& weight = (w ? *w : p.output("dw")).shape;
    work.flops_effective = work.flops_done = 2.0 * static_cast<double>(outputs.numel() * weight[1]);
  }
  return work;
}

}  // namespace rt
