#include "kernels/update/sgd.hpp"

namespace rt {
namespace {

class Sgd final : public Op {
 public:
  explicit Sgd(const SgdAttrs& a) : attrs(a) {}
  const SgdAttrs attrs;

  std::string_view name() const override { return "sgd"; }
  // weights grads momentum lr norm -> g
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    RT_CHECK(in[0].dtype == DType::f32 && in[0] == in[1] && in[0] == in[2],
             "sgd: weights {}, gradients {} and momentum {} must agree", in[0].str(), in[1].str(), in[2].str());
    return {in[0]};
  }
  void forward(Tape& tape, std::span<const Var> in, std::span<const Var> out) const override {
    const Var weights = in[0], grads = in[1], momentum = in[2], lr = in[3], norm = in[4], g = out[0];
    tape.step(kinds::sgd_gradient, this, {weights, grads, norm}, {g});
    tape.step(kinds::sgd_momentum, this, {momentum, g, norm}, {momentum});
    tape.step(kinds::sgd_apply, this, {weights, g, momentum, lr, norm}, {weights});
  }
  void backward(Tape&, Gradients&) const override { fail(ExitCode::runtime, "sgd: an update has no gradient"); }
};

}  // namespace

void record_sgd(Tape& tape, const UpdateVars& vars, Var norm, const OptimizerAttrs& attrs) {
  const SgdAttrs sgd{.momentum = attrs.momentum,
                     .weight_decay = attrs.weight_decay,
                     .nesterov = attrs.nesterov,
                     .decayed = decayed_elements(vars.parameters)};
  tape.apply(std::make_shared<Sgd>(sgd), {vars.weights, vars.grads, vars.slot("momentum"), vars.lr, norm});
}

const SgdAttrs& sgd_attrs(Ops ops) { return attributes<Sgd>(ops).attrs; }

}  // namespace rt
