#include "kernels/update/update.hpp"

namespace rt {
namespace {

void check_control(const char* op, const Spec& control) {
  RT_CHECK(control == Spec({{4}}), "{}: control {} must be [4] f32", op, control.str());
}

class Sgd final : public Op {
 public:
  explicit Sgd(SgdAttrs a, bool half) : attrs(a), half_(half) {}
  const SgdAttrs attrs;

  std::string_view name() const override { return "sgd"; }
  // weights grads momentum lr loss control [compute] [running running_fresh] -> norm g
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    RT_CHECK(in[0].dtype == DType::f32 && in[0] == in[1] && in[0] == in[2],
             "sgd: weights {}, gradients {} and momentum {} must agree", in[0].str(), in[1].str(), in[2].str());
    check_control("sgd", in[5]);
    if (half_)
      RT_CHECK((in[6].dtype == DType::f16 || in[6].dtype == DType::bf16) && in[6].shape.numel() <= in[0].shape.numel(),
               "sgd: the weights to compute with, {}, must be f16 or bf16 and no more than the weights, {}",
               in[6].str(), in[0].str());
    return {{{3}, DType::f32}, in[0]};
  }
  void forward(Tape& tape, std::span<const Var> in, std::span<const Var> out) const override {
    const Var weights = in[0], grads = in[1], momentum = in[2], lr = in[3], loss = in[4], control = in[5],
              norm = out[0], g = out[1];
    tape.step("grad_norm", this, {grads, loss, control}, {norm});
    tape.step("sgd.gradient", this, {weights, grads, norm}, {g});
    tape.step("sgd.momentum", this, {momentum, g, norm}, {momentum});
    tape.step("sgd.apply", this, {weights, g, momentum, lr, norm}, {weights});
    if (half_) tape.step("sgd.round", this, {weights}, {in[6]});
    if (const auto rest = in.subspan(half_ ? 7 : 6); !rest.empty())
      tape.step("commit", this, {rest[1], rest[0], norm}, {rest[1], rest[0]});
    tape.step("control.update", this, {norm, control}, {control});
  }
  void backward(Tape&, Gradients&) const override { fail(ExitCode::runtime, "sgd: an update has no gradient"); }

 private:
  const bool half_;
};

class LossScale final : public Op {
 public:
  std::string_view name() const override { return "loss_scale"; }
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    RT_CHECK(in[0] == Spec{}, "loss_scale: the weight {} must be a scalar in f32", in[0].str());
    check_control("loss_scale", in[1]);
    return {in[0]};
  }
  void forward(Tape& tape, std::span<const Var> in, std::span<const Var> out) const override {
    tape.step("loss_scale", this, {in[0], in[1]}, {out[0]});
  }
  void backward(Tape&, Gradients&) const override { fail(ExitCode::runtime, "loss_scale: it has no gradient"); }
};

}  // namespace

Var sgd_update(Tape& tape, const UpdateVars& v, SgdAttrs attrs) {
  std::vector<Var> in{v.weights, v.grads, v.momentum, v.lr, v.loss, v.control};
  if (v.compute) in.push_back(v.compute);
  if (v.running) in.insert(in.end(), {v.running, v.running_fresh});
  return tape.apply(std::make_shared<Sgd>(attrs, bool{v.compute}), in)[0];
}

Var scaled_weight(Tape& tape, Var weight, Var control) {
  return tape.apply(std::make_shared<LossScale>(), {weight, control});
}

const SgdAttrs& sgd_attrs(Ops ops) { return attributes<Sgd>(ops).attrs; }

}  // namespace rt
