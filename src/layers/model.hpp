// A network that tells classes of images apart: its layers (it is a Module), and what the rest of the program asks of
// it. Which ones there are stands in layers/models.hpp.
#pragma once
#include <array>
#include <string>
#include <string_view>

#include "layers/module.hpp"

namespace rt {

// Values of model.stem, which says how a network begins. cifar: for small images, at full resolution, without pooling.
// imagenet: for large ones, as published.
inline constexpr std::array<std::string_view, 2> stems = {"cifar", "imagenet"};

struct ModelConfig {
  std::string arch = "resnet18";  // a name in the table of models.hpp
  std::string stem = "cifar";
  int64_t classes = 10;
  int64_t channels = 3;  // of the image
  int64_t width = 64;    // channels behind the first convolution; 64 is the published network, tests use less
};

// operator() takes images [N,channels,H,W] and gives logits [N,classes]. The first parameter, in order of declaration,
// is a convolution's weight [width,channels,R,S], and head() + "weight" is [classes,C]: files are recognised by these.
class Model : public Module {
 public:
  const ModelConfig& config() const { return config_; }
  bool has_cifar_stem() const { return config_.stem == "cifar"; }
  // How the names of the classifier's parameters begin: "fc.".
  const std::string& head() const { return head_; }
  // Images with fewer pixels a side are refused: nothing of them would be left behind the last pooling.
  int64_t smallest_side() const { return smallest_side_; }
  // Error(usage) that names both sizes, for images of height x width pixels that are too small.
  void check_input(int64_t height, int64_t width) const;

 protected:
  Model(const ModelConfig& config, std::string head, int64_t smallest_side)
      : config_(config), head_(std::move(head)), smallest_side_(smallest_side) {}

 private:
  ModelConfig config_;
  std::string head_;
  int64_t smallest_side_;
};

}  // namespace rt
