#include "kernels/linear/linear.hpp"

namespace rt {
namespace {

class LinearOp final : public Op {
 public:
  std::string_view name() const override { return "linear"; }
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    const Shape &x = in[0].shape, &w = in[1].shape, &b = in[2].shape;
    RT_CHECK(x.rank() == 2 && w.rank() == 2 && x[1] == w[1], "linear: input {} does not fit weight {}", x.str(),
             w.str());
    RT_CHECK(b == Shape{w[0]}, "linear: bias {} does not fit weight {}", b.str(), w.str());
    RT_CHECK(in[1].dtype == in[0].dtype, "linear: input {} and weight {} differ in type", in[0].str(), in[1].str());
    const bool half = in[0].dtype == DType::f16 || in[0].dtype == DType::bf16;
    RT_CHECK(in[2].dtype == (half ? DType::f32 : in[0].dtype), "linear: bias {} does not go with input {}", in[2].str(),
             in[0].str());
    return {{{x[0], w[0]}, in[0].dtype}};
  }
  void forward(Tape& tape, std::span<const Var> in, std::span<const Var> out) const override {
    tape.step("linear.forward", this, {in[0], in[1], in[2]}, {out[0]});
  }
  void backward(Tape& tape, Gradients& g) const override {
    if (g.wants(1)) tape.step("linear.dw", this, {g.dout[0], g.in[0]}, {g.din(1)});
    if (g.wants(2)) tape.step("linear.dbias", this, {g.dout[0]}, {g.din(2)});
    if (g.wants(0)) tape.step("linear.dx", this, {g.dout[0], g.in[1]}, {g.din(0)});
  }
};

}  // namespace

Var linear(Tape& tape, Var x, Var w, Var bias) { return tape.apply(std::make_shared<LinearOp>(), {x, w, bias}); }

}  // namespace rt
