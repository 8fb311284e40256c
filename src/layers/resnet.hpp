// ResNets (He et al., 2016; stride in the 3x3 convolution of a bottleneck, as torchvision), with torchvision's
// parameter names, so that weights are exchanged by name. The stem is a 3x3 convolution (cifar), or a 7x7/2 convolution
// and a 3x3/2 max-pool (imagenet).
#pragma once
#include <memory>
#include <span>

#include "layers/model.hpp"

namespace rt {

// depths: blocks of each of the four stages. Basic blocks have two convolutions, bottlenecks three.
std::unique_ptr<Model> make_basic_resnet(const ModelConfig& config, std::span<const int> depths);
std::unique_ptr<Model> make_bottleneck_resnet(const ModelConfig& config, std::span<const int> depths);

}  // namespace rt
