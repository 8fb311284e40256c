// All architectures, in one table: what model.arch may be, what a file is recognised as, what benchmarks offer.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "layers/model.hpp"

namespace rt {

struct Architecture {
  std::string_view name;
  std::unique_ptr<Model> (*make)(const ModelConfig& config, std::span<const int> depths);
  std::vector<int> depths;  // how many of the family's blocks each stage has
};
std::span<const Architecture> architectures();
std::vector<std::string_view> architecture_names();

// Ready for use: names and indices are complete. Error(usage) for an architecture or a stem that does not exist.
std::unique_ptr<Model> make_model(const ModelConfig& config);

}  // namespace rt
