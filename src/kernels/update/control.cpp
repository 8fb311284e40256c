#include "kernels/update/control.hpp"

namespace rt {
namespace {

// Ops of the update stand behind the backward pass.
class UpdateOp : public Op {
 public:
  void backward(Tape&, Gradients&) const final { fail(ExitCode::runtime, "{}: it has no gradient", name()); }
};

class LossScale final : public UpdateOp {
 public:
  std::string_view name() const override { return "loss_scale"; }
  std::vector<Spec> infer(std::span<const Spec> in) const override {  // weight control -> dloss
    RT_CHECK(in[0] == Spec{}, "loss_scale: the weight {} must be a scalar in f32", in[0].str());
    check_control("loss_scale", in[1]);
    return {in[0]};
  }
  void forward(Tape& tape, std::span<const Var> in, std::span<const Var> out) const override {
    tape.step(kinds::loss_scale, this, {in[0], in[1]}, {out[0]});
  }
};

class GradNorm final : public UpdateOp {
 public:
  explicit GradNorm(double clip) : clip_norm(clip) {}
  const double clip_norm;

  std::string_view name() const override { return "grad_norm"; }
  std::vector<Spec> infer(std::span<const Spec> in) const override {  // grads loss control -> norm
    RT_CHECK(in[0].dtype == DType::f32 && in[1] == Spec{},
             "grad_norm: gradients {} and loss {} must be f32, the loss a scalar", in[0].str(), in[1].str());
    check_control("grad_norm", in[2]);
    return {{{3}, DType::f32}};
  }
  void forward(Tape& tape, std::span<const Var> in, std::span<const Var> out) const override {
    tape.step(kinds::grad_norm, this, {in[0], in[1], in[2]}, {out[0]});
  }
};

class RoundWeights final : public UpdateOp {
 public:
  std::string_view name() const override { return "weights.round"; }
  std::vector<Spec> infer(std::span<const Spec> in) const override {  // weights compute: nothing new is made
    RT_CHECK((in[1].dtype == DType::f16 || in[1].dtype == DType::bf16) && in[1].shape.numel() <= in[0].shape.numel(),
             "weights.round: the weights to compute with, {}, must be f16 or bf16 and no more than the weights, {}",
             in[1].str(), in[0].str());
    return {};
  }
  void forward(Tape& tape, std::span<const Var> in, std::span<const Var>) const override {
    tape.step(kinds::weights_round, this, {in[0]}, {in[1]});
  }
};

class ControlOp final : public UpdateOp {
 public:
  explicit ControlOp(const ControlAttrs& a) : attrs(a) {}
  const ControlAttrs attrs;

  std::string_view name() const override { return "control"; }
  // norm control updates [running running_fresh]: nothing new is made
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    RT_CHECK(in[0] == Spec({{3}}), "control: norm {} must be [3] f32", in[0].str());
    check_control("control", in[1]);
    RT_CHECK(in[2] == Spec({{}, DType::i32}), "control: the count of updates {} must be a scalar in i32", in[2].str());
    RT_CHECK(in.size() == 3 || in[3] == in[4], "control: statistics {} and fresh ones {} must agree", in[3].str(),
             in[4].str());
    return {};
  }
  void forward(Tape& tape, std::span<const Var> in, std::span<const Var>) const override {
    const Var norm = in[0], control = in[1], updates = in[2];
    if (in.size() > 3) tape.step(kinds::commit, this, {in[4], in[3], norm}, {in[4], in[3]});
    tape.step(kinds::control_update, this, {norm, control, updates}, {control, updates});
  }
};

}  // namespace

Var scaled_weight(Tape& tape, Var weight, Var control) {
  return tape.apply(std::make_shared<LossScale>(), {weight, control});
}

Var grad_norm(Tape& tape, Var grads, Var loss, Var control, double clip_norm) {
  return tape.apply(std::make_shared<GradNorm>(clip_norm), {grads, loss, control});
}

void round_weights(Tape& tape, Var weights, Var compute) {
  const Var in[] = {weights, compute};
  tape.apply(std::make_shared<RoundWeights>(), in);
}

void finish_update(Tape& tape, const ControlVars& vars, const ControlAttrs& attrs) {
  std::vector<Var> in{vars.norm, vars.control, vars.updates};
  if (vars.running) in.insert(in.end(), {vars.running, vars.running_fresh});
  tape.apply(std::make_shared<ControlOp>(attrs), in);
}

double clip_norm_of(Ops ops) { return attributes<GradNorm>(ops).clip_norm; }
const ControlAttrs& control_attrs(Ops ops) { return attributes<ControlOp>(ops).attrs; }

void check_control(const char* op, const Spec& control) {
  RT_CHECK(control == Spec({{4}}), "{}: control {} must be [4] f32", op, control.str());
}

}  // namespace rt
