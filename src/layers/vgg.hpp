// Plain networks like VGG (Simonyan & Zisserman, 2015): stages of 3x3 convolutions, each with batch norm and ReLU, with
// a 2x2 max-pool behind each stage; then the mean over all pixels and one linear layer, as is usual for CIFAR. Names:
// features.N.weight, features.N.bias, features.N.running_mean, ... numbered as in torchvision's vgg11_bn, and
// classifier.weight, classifier.bias. torchvision's own files do not fit: their convolutions have a bias, and their
// classifier is three layers of 4096.
// The imagenet stem pools behind every stage (32x32 pixels end as one). The cifar stem does not behind the first, so
// that 32x32 pixels end as 2x2, and what follows is numbered one lower.
#pragma once
#include <memory>
#include <span>

#include "layers/model.hpp"

namespace rt {

// depths: convolutions of each stage. Their channels are width times 1, 2, 4, 8 and 8.
std::unique_ptr<Model> make_vgg(const ModelConfig& config, std::span<const int> depths);

}  // namespace rt
