// A model with its state, its weights drawn from a seed.
#pragma once
#include <doctest/doctest.h>

#include <cstdint>
#include <memory>
#include <string>

#include "layers/models.hpp"
#include "layers/state.hpp"

namespace rt::testing {

struct Network {
  std::unique_ptr<Model> net;
  std::unique_ptr<ModelState> state;

  explicit Network(const ModelConfig& config, uint64_t seed = 1)
      : net(make_model(config)), state(std::make_unique<ModelState>(*net)) {
    state->initialise(seed);
  }
  float first_weight(const std::string& name) const {
    for (const NamedView& p : state->parameters())
      if (p.name == name) return *p.view.as<float>();
    FAIL("no parameter ", name);
    return 0;
  }
};

}  // namespace rt::testing
