#include "kernels/conv2d/conv2d.hpp"

namespace rt {
namespace {

class Conv2dOp final : public Op {
 public:
  explicit Conv2dOp(Conv2dAttrs a) : attrs(a) {}
  const Conv2dAttrs attrs;

  std::string_view name() const override { return "conv2d"; }

  std::vector<Spec> infer(std::span<const Spec> in) const override {
    const Spec &x = in[0], &w = in[1];
    RT_CHECK(x.shape.rank() == 4 && w.shape.rank() == 4, "conv2d: input {} and weight {} must be 4-d", x.str(),
             w.str());
    RT_CHECK(x.shape.c() == w.shape.c(), "conv2d: input {} has {} channels, weight {} expects {}", x.str(), x.shape.c(),
             w.str(), w.shape.c());
    RT_CHECK(w.dtype == x.dtype, "conv2d: input {} and weight {} differ in type", x.str(), w.str());
    const Conv2dShape s = conv2d_shape(this, x, w);
    RT_CHECK(s.p >= 1 && s.q >= 1, "conv2d: input {} is smaller than the {}x{} kernel with padding {}", x.str(), s.r,
             s.s, attrs.pad);
    return {{{s.n, s.k, s.p, s.q}, x.dtype, x.layout}};
  }
  void forward(Tape& tape, std::span<const Var> in, std::span<const Var> out) const override {
    tape.step("conv2d.forward", this, {in[0], in[1]}, {out[0]});
  }
  void backward(Tape& tape, Gradients& g) const override {
    if (g.wants(1)) tape.step("conv2d.dw", this, {g.dout[0], g.in[0]}, {g.din(1)});
    if (g.wants(0)) tape.step("conv2d.dx", this, {g.dout[0], g.in[1]}, {g.din(0)});
  }
};

}  // namespace

Var conv2d(Tape& tape, Var x, Var w, Conv2dAttrs attrs) {
  return tape.apply(std::make_shared<Conv2dOp>(attrs), {x, w});
}

Conv2dShape conv2d_shape(const Op* op, const Spec& x, const Spec& w) {
  const Conv2dAttrs& a = attributes<Conv2dOp>(op).attrs;
  const Shape &xs = x.shape, &ws = w.shape;
  auto out = [&](int64_t size, int64_t kernel) {
    const int64_t room = size + 2 * a.pad - kernel;
    return room < 0 ? 0 : room / a.stride + 1;
  };
  return {.n = xs.n(),
          .c = xs.c(),
          .h = xs.h(),
          .w = xs.w(),
          .k = ws.n(),
          .r = ws.h(),
          .s = ws.w(),
          .p = out(xs.h(), ws.h()),
          .q = out(xs.w(), ws.w()),
          .stride = a.stride,
          .pad = a.pad};
}

}  // namespace rt
