#include "kernels/update/optimizer.hpp"

#include <algorithm>
#include <limits>

#include "kernels/update/sgd.hpp"

namespace rt {

std::span<const Optimizer> optimizers() {
  static const Optimizer table[] = {
      {.name = "sgd", .slots = {"momentum"}, .record = record_sgd},
  };
  return table;
}

std::vector<std::string_view> optimizer_names() {
  std::vector<std::string_view> names;
  for (const Optimizer& o : optimizers()) names.push_back(o.name);
  return names;
}

const Optimizer& optimizer_named(std::string_view name) {
  for (const Optimizer& o : optimizers())
    if (o.name == name) return o;
  fail(ExitCode::usage, "there is no optimizer '{}'; there are {}", name, joined(optimizer_names(), ", "));
}

View FlatSlice::of(const View& flat) const {
  const Spec spec{shape, flat.spec.dtype, shape.rank() == 4 ? layout : Layout::nchw};
  return {spec, static_cast<std::byte*>(flat.data) + static_cast<size_t>(offset) * size_of(spec.dtype)};
}

Var UpdateVars::slot(std::string_view name) const {
  const auto found = slots.find(name);
  RT_CHECK(found != slots.end(), "the optimizer's slot '{}' is missing", name);
  return found->second;
}

int64_t decayed_elements(std::span<const FlatSlice> parameters) {
  int64_t decayed = 0, first_other = std::numeric_limits<int64_t>::max();
  for (const FlatSlice& p : parameters) {
    if (p.decays)
      decayed = std::max(decayed, p.offset + p.shape.numel());
    else
      first_other = std::min(first_other, p.offset);
  }
  RT_CHECK(decayed <= first_other, "{} elements up to the last parameter that decays, but one from {} on does not",
           decayed, first_other);
  return decayed;
}

Var record_update(Tape& tape, const UpdateVars& vars, const Optimizer& optimizer, const OptimizerAttrs& attrs,
                  const ControlAttrs& control) {
  // Gradients and loss are complete from here on, and whether the update happens follows from them alone.
  const Var norm = grad_norm(tape, vars.grads, vars.loss, vars.control, control.clip_norm);
  optimizer.record(tape, vars, norm, attrs);
  if (vars.compute) round_weights(tape, vars.weights, vars.compute);
  finish_update(tape,
                {.norm = norm,
                 .control = vars.control,
                 .updates = vars.updates,
                 .running = vars.running,
                 .running_fresh = vars.running_fresh},
                control);
  return norm;
}

}  // namespace rt
