#include "kernels/pool/pool.hpp"

namespace rt {
namespace {

class MaxPoolOp final : public Op {
 public:
  explicit MaxPoolOp(MaxPoolAttrs a) : attrs(a) {}
  const MaxPoolAttrs attrs;

  std::string_view name() const override { return "max_pool"; }
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    const Spec& x = in[0];
    RT_CHECK(x.shape.rank() == 4, "max_pool: input {} must be 4-d", x.str());
    RT_CHECK(attrs.kernel <= 15 && 2 * attrs.pad <= attrs.kernel,
             "max_pool: kernel {} (at most 15) with padding {} (at most half)", attrs.kernel, attrs.pad);
    auto out = [&](int64_t size) {
      const int64_t room = size + 2 * attrs.pad - attrs.kernel;
      RT_CHECK(room >= 0, "max_pool: input {} is smaller than the window {}", x.str(), attrs.kernel);
      return room / attrs.stride + 1;
    };
    const Shape y{x.shape.n(), x.shape.c(), out(x.shape.h()), out(x.shape.w())};
    return {{y, x.dtype, x.layout}, {y, DType::u8, x.layout}};
  }
  void forward(Tape& tape, std::span<const Var> in, std::span<const Var> out) const override {
    tape.step(kinds::max_pool_forward, this, {in[0]}, {out[0], out[1]});
  }
  void backward(Tape& tape, Gradients& g) const override {
    if (g.wants(0)) tape.step(kinds::max_pool_backward, this, {g.dout[0], g.out[1]}, {g.din(0)});
  }
};

class GlobalAvgPoolOp final : public Op {
 public:
  std::string_view name() const override { return "avg_pool"; }
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    RT_CHECK(in[0].shape.rank() == 4, "avg_pool: input {} must be 4-d", in[0].str());
    return {{{in[0].shape.n(), in[0].shape.c()}, in[0].dtype}};
  }
  void forward(Tape& tape, std::span<const Var> in, std::span<const Var> out) const override {
    tape.step(kinds::avg_pool_forward, this, {in[0]}, {out[0]});
  }
  void backward(Tape& tape, Gradients& g) const override {
    if (g.wants(0)) tape.step(kinds::avg_pool_backward, this, {g.dout[0]}, {g.din(0)});
  }
};

}  // namespace

Var max_pool(Tape& tape, Var x, MaxPoolAttrs attrs) { return tape.apply(std::make_shared<MaxPoolOp>(attrs), {x}); }
Var global_avg_pool(Tape& tape, Var x) { return tape.apply(std::make_shared<GlobalAvgPoolOp>(), {x}); }
const MaxPoolAttrs& max_pool_attrs(Ops ops) { return attributes<MaxPoolOp>(ops).attrs; }

}  // namespace rt
