#include "kernels/flops.hpp"

#include "core/divide.hpp"
#include "kernels/conv2d/conv2d_fusion.hpp"

namespace rt {

std::optional<Conv2dShape> conv2d_of(std::string_view kind, const Problem& p) {
  if (!kind.starts_with("conv2d.")) return {};
  const Conv2dFusion f = conv2d_fusion(kind);
  return conv2d_shape(p.op, f.x_of(p), f.w_of(p));
}

double winograd_share(const Conv2dShape& s) {
  constexpr int64_t tile = 4, taps = 9;
  const int64_t points = s.stride == 1 ? 36 : 81;
  const int64_t tiles = ceil_div(s.p, tile) * ceil_div(s.q, tile);
  return static_cast<double>(tiles * points) / static_cast<double>(s.p * s.q * taps);
}

Work work_of(std::string_view kind, std::string_view row, const Problem& p) {
  Work work;
  for (std::span<const Spec> specs : {p.in, p.out})
    for (const Spec& spec : specs) work.bytes += static_cast<double>(spec.bytes());
  if (const auto s = conv2d_of(kind, p)) {
    const int passes = kind.starts_with("conv2d.backward") ? 2 : 1;
    work.flops_effective =
        2.0 * passes * static_cast<double>(s->n * s->k * s->p * s->q) * static_cast<double>(s->c * s->r * s->s);
    const bool winograd = row.find(".winograd") != std::string_view::npos;
    work.flops_done = work.flops_effective * (winograd ? winograd_share(*s) : 1);
  } else if (kind == "linear.forward" || kind == "linear.dx" || kind == "linear.dw") {
    // Each of the [N,K] outputs (or their gradients) meets each of the C inputs.
    const Shape& y = kind == "linear.forward" ? p.out[0].shape : p.in[0].shape;
    const Shape& w = kind == "linear.dw" ? p.out[0].shape : p.in[1].shape;
    work.flops_effective = work.flops_done = 2.0 * static_cast<double>(y.numel() * w[1]);
  }
  return work;
}

}  // namespace rt
