// ResNet-18, -34 and -50 (He et al., 2016; stride in the 3x3 convolution of a bottleneck, as torchvision), with
// torchvision's parameter names, so that weights are exchanged by name.
#pragma once
#include <memory>
#include <string>

#include "layers/module.hpp"

namespace rt {

class Conv2d final : public Module {  // no bias: a BatchNorm2d always follows
 public:
  Conv2d(int64_t in, int64_t out, int kernel, int stride, int pad);

 protected:
  Var forward(Pass& pass, Var x) const override;

 private:
  int stride_, pad_;
  Parameter* weight_;
};

class BatchNorm2d final : public Module {
 public:
  explicit BatchNorm2d(int64_t channels);

 protected:
  Var forward(Pass& pass, Var x) const override;

 private:
  Parameter *weight_, *bias_;
  Statistic *running_mean_, *running_var_;
};

class Linear final : public Module {
 public:
  Linear(int64_t in, int64_t out);

 protected:
  Var forward(Pass& pass, Var x) const override;

 private:
  Parameter *weight_, *bias_;
};

class Downsample final : public Module {  // 1x1 convolution and normalisation on the skip connection
 public:
  Downsample(int64_t in, int64_t out, int stride);

 protected:
  Var forward(Pass& pass, Var x) const override;

 private:
  Conv2d* conv_;
  BatchNorm2d* bn_;
};

class BasicBlock final : public Module {
 public:
  static constexpr int64_t expansion = 1;
  BasicBlock(int64_t in, int64_t width, int stride);

 protected:
  Var forward(Pass& pass, Var x) const override;

 private:
  Conv2d *conv1_, *conv2_;
  BatchNorm2d *bn1_, *bn2_;
  Downsample* downsample_ = nullptr;
};

class Bottleneck final : public Module {
 public:
  static constexpr int64_t expansion = 4;
  Bottleneck(int64_t in, int64_t width, int stride);

 protected:
  Var forward(Pass& pass, Var x) const override;

 private:
  Conv2d *conv1_, *conv2_, *conv3_;
  BatchNorm2d *bn1_, *bn2_, *bn3_;
  Downsample* downsample_ = nullptr;
};

struct ResNetConfig {
  std::string arch = "resnet18";  // resnet18, resnet34, resnet50
  std::string stem = "cifar";     // cifar: 3x3 convolution;  imagenet: 7x7/2 convolution and 3x3/2 max-pool
  int64_t classes = 10;
  int64_t channels = 3;  // of the image
  int64_t width = 64;    // of the first stage; 64 is the published network, tests use less
};

class ResNet final : public Module {
 public:
  explicit ResNet(const ResNetConfig& config);
  const ResNetConfig& config() const { return config_; }

 protected:
  Var forward(Pass& pass, Var x) const override;  // images [N,channels,H,W] -> logits [N,classes]

 private:
  ResNetConfig config_;
  Conv2d* conv1_;
  BatchNorm2d* bn1_;
  std::vector<Module*> blocks_;
  Linear* fc_;
};

std::unique_ptr<ResNet> make_resnet(const ResNetConfig& config);

}  // namespace rt
