// A model's flat state: the order of parameters, initial values, the optimizer's slots.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/rng.hpp"
#include "layers/models.hpp"
#include "layers/state.hpp"

using namespace rt;

TEST_CASE("state: decaying parameters stand first and initialisation follows torchvision") {
  auto net = make_model({.arch = "resnet18", .stem = "cifar"});
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
  again.initialise(1);
  other.initialise(2);
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
  auto net = make_model({.arch = "resnet18", .stem = "cifar"});
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
