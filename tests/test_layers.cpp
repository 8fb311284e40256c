// Layers: parameters, shapes and names as in PyTorch.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "kernels/table.hpp"
#include "layers/layers.hpp"
#include "layers/state.hpp"

using namespace rt;

namespace {

// Layers in a row, as the root of a model.
class Chain final : public Module {
 public:
  Chain() {
    layers_ = child<Sequential>("chain");
    layers_->add<Conv2d>(3, 8, 5, 2);
    layers_->add<BatchNorm2d>(8);
    layers_->add<ReLU>();
    layers_->add<MaxPool2d>(MaxPoolAttrs{.kernel = 2, .stride = 2, .pad = 0});
    finish();
  }

 protected:
  Var forward(Pass& pass, Var x) const override { return (*layers_)(pass, x); }

 private:
  Sequential* layers_;
};

}  // namespace

TEST_CASE("layers: parameters and statistics are numbered and shaped as in PyTorch's Sequential") {
  Chain chain;
  const ModelState state(chain, nullptr);
  std::vector<std::string> names;
  for (const auto& list : {state.parameters(), state.statistics()})
    for (const NamedView& v : list) names.push_back(v.name + " " + v.view.shape().str());
  CHECK(names == std::vector<std::string>{"chain.0.weight [8,3,5,5]", "chain.1.weight [8]", "chain.1.bias [8]",
                                          "chain.1.running_mean [8]", "chain.1.running_var [8]"});
}

TEST_CASE("layers: a convolution gives an output for every stride-th pixel, and steps carry their layer's name") {
  Chain chain;
  ModelState state(chain, nullptr);
  for (const int64_t side : {8, 9}) {
    Tape tape(Tape::Mode::trace, kernel_table(), cpu_target());
    Pass pass = state.begin(tape, false);
    const Var y = chain(pass, tape.make({{2, 3, side, side}, DType::f32, Layout::nhwc}));
    CHECK(tape.spec(y).shape == Shape{2, 8, 2, 2});
    CHECK(tape.spec(tape.steps()[0].out[0]).shape.h() == (side + 1) / 2);
    CHECK(tape.steps()[0].label == "chain.0");
    CHECK(tape.steps().back().label == "chain.3");
  }
}
