// Which architecture the tensors of a file belong to. Each one of the table is built without numbers, and its names and
// shapes compared with the file's: an architecture needs no code of its own for this.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "layers/model.hpp"

namespace rt {

// The architecture and stem whose parameters and statistics differ least from the file's, in name and then in shape;
// classes, channels and width are those of the file's classifier and first convolution. Where these two fit no
// architecture there is no configuration, and `problem` says what the nearest one misses.
struct Recognition {
  std::optional<ModelConfig> config;
  std::string problem;
};
using TensorShapes = std::map<std::string, std::vector<int64_t>>;
Recognition recognise(const TensorShapes& file);
std::vector<int64_t> dims(const Shape& shape);  // as files say it

}  // namespace rt
