#include "kernels/cross_entropy/cross_entropy.hpp"

namespace rt {
namespace {

class CrossEntropyOp final : public Op {
 public:
  explicit CrossEntropyOp(double s) : smoothing(s) {}
  const double smoothing;

  std::string_view name() const override { return "cross_entropy"; }
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    const Spec &logits = in[0], &labels = in[1];
    RT_CHECK(logits.shape.rank() == 2 && logits.shape.numel() > 0, "cross_entropy: logits {} must be [N,K]",
             logits.str());
    RT_CHECK(labels.shape == Shape{logits.shape[0]} && labels.dtype == DType::i32,
             "cross_entropy: logits {} need labels [{}] i32, not {}", logits.str(), logits.shape[0], labels.str());
    const DType stat = logits.dtype == DType::f64 ? DType::f64 : DType::f32;
    return {{Shape{}, stat}, {{logits.shape[0]}, stat}, {{2}, DType::i32}};
  }
  void forward(Tape& tape, std::span<const Var> in, std::span<const Var> out) const override {
    tape.step(kinds::cross_entropy_forward, this, {in[0], in[1]}, {out[0], out[1], out[2]});
  }
  void backward(Tape& tape, Gradients& g) const override {
    if (g.wants(0)) tape.step(kinds::cross_entropy_backward, this, {g.in[0], g.in[1], g.out[1], g.dout[0]}, {g.din(0)});
  }
};

}  // namespace

CrossEntropy cross_entropy(Tape& tape, Var logits, Var labels, double label_smoothing) {
  const Var in[] = {logits, labels};
  const std::vector<Var> out = tape.apply(std::make_shared<CrossEntropyOp>(label_smoothing), in);
  return {out[0], out[2]};
}

double label_smoothing_of(Ops ops) { return attributes<CrossEntropyOp>(ops).smoothing; }

}  // namespace rt
