#include "kernels/elementwise/elementwise.hpp"

namespace rt {
namespace {

class ReluOp final : public Op {
 public:
  std::string_view name() const override { return "relu"; }
  std::vector<Spec> infer(std::span<const Spec> in) const override { return {in[0]}; }
  void forward(Tape& tape, std::span<const Var> in, std::span<const Var> out) const override {
    tape.step(kinds::relu_forward, this, {in[0]}, {out[0]});
  }
  void backward(Tape& tape, Gradients& g) const override {
    if (g.wants(0)) tape.step(kinds::relu_backward, this, {g.dout[0], g.out[0]}, {g.din(0)});
  }
};

class AddOp final : public Op {
 public:
  std::string_view name() const override { return "add"; }
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    RT_CHECK(in[0] == in[1], "add: {} and {} differ", in[0].str(), in[1].str());
    return {in[0]};
  }
  void forward(Tape& tape, std::span<const Var> in, std::span<const Var> out) const override {
    tape.step(kinds::add_forward, this, {in[0], in[1]}, {out[0]});
  }
  void backward(Tape&, Gradients& g) const override {
    g.pass(0, g.dout[0]);
    g.pass(1, g.dout[0]);
  }
};

class ConvertOp final : public Op {
 public:
  ConvertOp(DType dtype, Layout layout) : dtype_(dtype), layout_(layout) {}
  std::string_view name() const override { return "convert"; }
  std::vector<Spec> infer(std::span<const Spec> in) const override { return {{in[0].shape, dtype_, layout_}}; }
  void forward(Tape& tape, std::span<const Var> in, std::span<const Var> out) const override {
    tape.step(kinds::convert, this, {in[0]}, {out[0]});
  }
  void backward(Tape& tape, Gradients& g) const override {
    if (g.wants(0)) tape.step(kinds::convert, this, {g.dout[0]}, {g.din(0)});
  }

 private:
  DType dtype_;
  Layout layout_;
};

}  // namespace

Var relu(Tape& tape, Var x) { return tape.apply(std::make_shared<ReluOp>(), {x}); }
Var add(Tape& tape, Var a, Var b) { return tape.apply(std::make_shared<AddOp>(), {a, b}); }
Var convert(Tape& tape, Var x, DType dtype, Layout layout) {
  const Spec& from = tape.spec(x);
  return from.dtype == dtype && from.layout == layout ? x : tape.apply(std::make_shared<ConvertOp>(dtype, layout), {x});
}

}  // namespace rt
