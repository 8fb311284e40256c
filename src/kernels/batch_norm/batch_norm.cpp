#include "kernels/batch_norm/batch_norm.hpp"

namespace rt {
namespace {

class BatchNormOp final : public Op {
 public:
  explicit BatchNormOp(BatchNormAttrs a) : attrs(a) {}
  const BatchNormAttrs attrs;

  std::string_view name() const override { return "batch_norm"; }

  std::vector<Spec> infer(std::span<const Spec> in) const override {
    const Spec& x = in[0];
    RT_CHECK(x.shape.rank() == 4, "batch_norm: input {} must be 4-d", x.str());
    constexpr const char* names[] = {"", "gamma", "beta", "running_mean", "running_var"};
    for (size_t i = 1; i < in.size(); ++i)
      RT_CHECK(in[i].shape == Shape{x.shape.c()}, "batch_norm: input {} has {} channels, {} is {}", x.str(),
               x.shape.c(), names[i], in[i].str());
    RT_CHECK(!attrs.training || x.shape.numel() / x.shape.c() > 1,
             "batch_norm: input {} has one value per channel, whose variance cannot be normalised by; use a larger "
             "batch or image",
             x.str());
    const DType stat = x.dtype == DType::f64 ? DType::f64 : DType::f32;
    const Spec channel{{x.shape.c()}, stat};
    if (!attrs.training) return {x, channel, channel};
    return {x, channel, channel, channel};  // y, mean, rstd, var
  }
  void forward(Tape& tape, std::span<const Var> in, std::span<const Var> out) const override {
    const Var x = in[0], gamma = in[1], beta = in[2], running_mean = in[3], running_var = in[4];
    const Var y = out[0], mean = out[1], rstd = out[2];
    if (attrs.training)
      tape.step(kinds::batch_norm_stats, this, {x}, {mean, rstd, out[3]});
    else
      tape.step(kinds::batch_norm_running, this, {running_mean, running_var}, {mean, rstd});
    tape.step(kinds::batch_norm_apply, this, {x, mean, rstd, gamma, beta}, {y});
    if (attrs.training)
      tape.step(kinds::batch_norm_update_running, this, {mean, out[3], running_mean, running_var},
                {running_mean, running_var});
  }
  void backward(Tape& tape, Gradients& g) const override {
    RT_CHECK(attrs.training, "batch_norm: there is no backward pass through running statistics");
    const Var dy = g.dout[0], x = g.in[0], gamma = g.in[1], mean = g.out[1], rstd = g.out[2];
    const Var dgamma = g.din(1), dbeta = g.din(2);
    tape.step(kinds::batch_norm_sums, this, {dy, x, mean, rstd}, {dgamma, dbeta});
    if (g.wants(0)) tape.step(kinds::batch_norm_dx, this, {dy, x, mean, rstd, gamma, dgamma, dbeta}, {g.din(0)});
  }
};

}  // namespace

Var batch_norm(Tape& tape, Var x, Var gamma, Var beta, BatchNormState state, BatchNormAttrs attrs) {
  return tape.apply(std::make_shared<BatchNormOp>(attrs), {x, gamma, beta, state.running_mean, state.running_var});
}

const BatchNormAttrs& batch_norm_attrs(Ops ops) { return attributes<BatchNormOp>(ops).attrs; }

}  // namespace rt
