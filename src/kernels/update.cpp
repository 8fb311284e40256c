#include "kernels/update.hpp"

namespace rt {
namespace {

class Sgd final : public Op {
 public:
  explicit Sgd(SgdAttrs a) : attrs(a) {}
  const SgdAttrs attrs;

  std::string_view name() const override { return "sgd"; }
  // weights grads momentum lr loss [running running_fresh] -> norm
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    RT_CHECK(in[0] == in[1] && in[0] == in[2], "sgd: weights {}, gradients {} and momentum {} must agree", in[0].str(),
             in[1].str(), in[2].str());
    return {{{2}, DType::f32}};
  }
  void forward(Tape& tape, std::span<const Var> in, std::span<const Var> out) const override {
    const Var norm = out[0];
    tape.step("grad_norm", this, {in[1], in[4]}, {norm});
    tape.step("sgd.update", this, {in[0], in[1], in[2], in[3], norm}, {in[0], in[2]});
    if (in.size() > 5) tape.step("commit", this, {in[6], in[5], norm}, {in[6], in[5]});
  }
  void backward(Tape&, Gradients&) const override { fail(ExitCode::runtime, "sgd: an update has no gradient"); }
};

}  // namespace

Var sgd_update(Tape& tape, const UpdateVars& v, SgdAttrs attrs) {
  std::vector<Var> in{v.weights, v.grads, v.momentum, v.lr, v.loss};
  if (v.running) in.insert(in.end(), {v.running, v.running_fresh});
  return tape.apply(std::make_shared<Sgd>(attrs), in)[0];
}

const SgdAttrs& sgd_attrs(const Op* op) { return attributes<Sgd>(op).attrs; }

}  // namespace rt
