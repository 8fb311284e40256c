// Layers: parameters, shapes and names as in PyTorch; and the state of a model made of them.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/rng.hpp"
#include "kernels/table.hpp"
#include "layers/layers.hpp"
#include "layers/models.hpp"
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

TEST_CASE("state: decaying parameters stand first and initialisation follows torchvision") {
  auto net = make_model({"resnet18", "cifar", 10});
  ModelState state(*net);
  state.initialise(1);
  const float* start = state.weights().as<float>();
  const std::vector<FlatSlice> slices = state.slices(false);
  const int64_t decayed = decayed_elements(slices);
  for (const FlatSlice& slice : slices) CHECK(slice.decays == (slice.shape.rank() > 1));
  for (const FlatSlice& slice : state.slices(true)) CHECK(slice.decays);
  for (auto& p : state.parameters()) {
    const bool decays = p.view.shape().rank() > 1;
    CHECK(((p.view.as<float>() - start) < decayed) == decays);
    if (p.name == "layer3.0.conv2.weight") {
      double square = 0;
      for (int64_t i = 0; i < p.view.numel(); ++i) square += std::pow(static_cast<double>(p.view.as<float>()[i]), 2);
      CHECK(std::sqrt(square / static_cast<double>(p.view.numel())) ==
            doctest::Approx(std::sqrt(2.0 / (256 * 9))).epsilon(0.01));
    }
    if (p.name == "bn1.weight") CHECK(p.view.as<float>()[63] == 1.0f);
    if (p.name == "fc.bias")
      for (int64_t i = 0; i < 10; ++i) CHECK(std::abs(p.view.as<float>()[i]) <= 1 / std::sqrt(512.0f));
  }
  ModelState again(*net), other(*net);
  again.initialise(1), other.initialise(2);
  CHECK(again.parameters()[5].view.as<float>()[7] == state.parameters()[5].view.as<float>()[7]);
  CHECK(other.parameters()[3].view.as<float>()[7] != state.parameters()[3].view.as<float>()[7]);
}

TEST_CASE("state: a flat buffer per slot of the optimizer, by name; for evaluation neither these nor gradients") {
  const Optimizer two{.name = "two", .slots = {"first", "second"}, .record = nullptr};
  auto net = make_model({.arch = "resnet18", .stem = "cifar", .classes = 10, .width = 4});
  const ModelState training(*net, &two), evaluation(*net, nullptr);
  CHECK(training.slots() == two.slots);
  CHECK(training.slot("first").spec == training.weights().spec);
  CHECK(training.slot("first").data != training.slot("second").data);
  CHECK(training.in_slot("second")[3].name == training.parameters()[3].name);
  CHECK(training.in_slot("second")[3].view.as<float>() ==
        training.slot("second").as<float>() + training.slices(false)[3].offset);
  CHECK_THROWS_WITH_AS(training.slot("momentum"), doctest::Contains("it has: first, second"), Error);
  CHECK(evaluation.slots().empty());
  CHECK(evaluation.grads().numel() == 0);
  const size_t flat = training.weights().spec.bytes();
  CHECK(training.step_bytes() == evaluation.step_bytes() + 3 * flat);
}

TEST_CASE("state: a parameter drawn in parts, by any number of threads, holds one stream") {
  auto net = make_model({"resnet18", "cifar", 10});
  ModelState state(*net, nullptr, DType::f64);
  state.initialise(3);
  const std::vector<NamedView> parameters = state.parameters();
  for (size_t index = 0; index < parameters.size(); ++index) {
    const View& w = parameters[index].view;
    if (w.shape().rank() != 4) continue;
    const double deviation = std::sqrt(2.0 / static_cast<double>(w.shape()[0] * w.shape()[2] * w.shape()[3]));
    Rng rng(3, RngPurpose::init, static_cast<uint32_t>(index));
    int64_t different = 0;
    for (int64_t i = 0; i < std::min<int64_t>(w.numel(), 100'000); ++i)  // several parts
      different += w.as<double>()[i] != deviation * rng.normal();
    CHECK_MESSAGE(different == 0, parameters[index].name);
  }
}
