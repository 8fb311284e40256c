// All architectures, in one table: what model.arch may be, what a file is recognised as, what benchmarks offer.
#pragma once
#include <map>
#include <memory>
#include <optional>
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

// What a file's tensors make: the architecture and stem whose parameters and statistics differ least from them in name
// and shape, with classes, channels and width as the classifier and the first convolution have them. Where these two fit
// no architecture there is no configuration, and `problem` says what the nearest one misses.
struct Recognition {
  std::optional<ModelConfig> config;
  std::string problem;
};
using TensorShapes = std::map<std::string, std::vector<int64_t>>;
Recognition recognise(const TensorShapes& file);
std::vector<int64_t> dims(const Shape& shape);  // as files say it

}  // namespace rt
