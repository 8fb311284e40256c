#include "layers/resnet.hpp"

#include "kernels/elementwise/elementwise.hpp"
#include "layers/layers.hpp"

namespace rt {
namespace {

// What is left of a block beside its convolutions: the connection around them.
class Block : public Module {
 protected:
  // Call last: a 1x1 convolution and normalisation where the block changes the shape.
  void add_skip(int64_t in, int64_t out, int stride) {
    if (stride == 1 && in == out) return;
    downsample_ = child<Sequential>("downsample");
    downsample_->add<Conv2d>(in, out, 1, stride);
    downsample_->add<BatchNorm2d>(out);
  }
  Var skip(Pass& pass, Var x) const { return downsample_ ? (*downsample_)(pass, x) : x; }

 private:
  Sequential* downsample_ = nullptr;
};

class BasicBlock final : public Block {
 public:
  static constexpr int64_t expansion = 1;
  BasicBlock(int64_t in, int64_t width, int stride) {
    conv1_ = child<Conv2d>("conv1", in, width, 3, stride);
    bn1_ = child<BatchNorm2d>("bn1", width);
    conv2_ = child<Conv2d>("conv2", width, width, 3);
    bn2_ = child<BatchNorm2d>("bn2", width);
    add_skip(in, width, stride);
  }

 protected:
  Var forward(Pass& pass, Var x) const override {
    const Var around = skip(pass, x);
    Var y = relu(pass.tape, (*bn1_)(pass, (*conv1_)(pass, x)));
    y = (*bn2_)(pass, (*conv2_)(pass, y));
    return relu(pass.tape, add(pass.tape, y, around));
  }

 private:
  Conv2d *conv1_, *conv2_;
  BatchNorm2d *bn1_, *bn2_;
};

class Bottleneck final : public Block {
 public:
  static constexpr int64_t expansion = 4;
  Bottleneck(int64_t in, int64_t width, int stride) {
    const int64_t out = width * expansion;
    conv1_ = child<Conv2d>("conv1", in, width, 1);
    bn1_ = child<BatchNorm2d>("bn1", width);
    conv2_ = child<Conv2d>("conv2", width, width, 3, stride);
    bn2_ = child<BatchNorm2d>("bn2", width);
    conv3_ = child<Conv2d>("conv3", width, out, 1);
    bn3_ = child<BatchNorm2d>("bn3", out);
    add_skip(in, out, stride);
  }

 protected:
  Var forward(Pass& pass, Var x) const override {
    const Var around = skip(pass, x);
    Var y = relu(pass.tape, (*bn1_)(pass, (*conv1_)(pass, x)));
    y = relu(pass.tape, (*bn2_)(pass, (*conv2_)(pass, y)));
    y = (*bn3_)(pass, (*conv3_)(pass, y));
    return relu(pass.tape, add(pass.tape, y, around));
  }

 private:
  Conv2d *conv1_, *conv2_, *conv3_;
  BatchNorm2d *bn1_, *bn2_, *bn3_;
};

template <class BlockType>
class ResNet final : public Model {
 public:
  ResNet(const ModelConfig& config, std::span<const int> depths) : Model(config, "fc.", 1) {
    conv1_ = has_cifar_stem() ? child<Conv2d>("conv1", config.channels, config.width, 3)
                              : child<Conv2d>("conv1", config.channels, config.width, 7, 2);
    bn1_ = child<BatchNorm2d>("bn1", config.width);
    int64_t in = config.width;
    int64_t width = config.width;
    for (const int blocks : depths) {
      const bool first = stages_.empty();
      Sequential* stage = child<Sequential>("layer" + std::to_string(stages_.size() + 1));
      for (int i = 0; i < blocks; ++i) {
        stage->add<BlockType>(in, width, i == 0 && !first ? 2 : 1);
        in = width * BlockType::expansion;
      }
      stages_.push_back(stage);
      width *= 2;
    }
    fc_ = child<Linear>("fc", in, config.classes);
  }

 protected:
  Var forward(Pass& pass, Var x) const override {
    x = relu(pass.tape, (*bn1_)(pass, (*conv1_)(pass, x)));
    if (!has_cifar_stem()) x = max_pool(pass.tape, x, {.kernel = 3, .stride = 2, .pad = 1});
    for (const Sequential* stage : stages_) x = (*stage)(pass, x);
    return (*fc_)(pass, global_avg_pool(pass.tape, x));
  }

 private:
  Conv2d* conv1_;
  BatchNorm2d* bn1_;
  std::vector<const Sequential*> stages_;
  Linear* fc_;
};

}  // namespace

std::unique_ptr<Model> make_basic_resnet(const ModelConfig& config, std::span<const int> depths) {
  return std::make_unique<ResNet<BasicBlock>>(config, depths);
}
std::unique_ptr<Model> make_bottleneck_resnet(const ModelConfig& config, std::span<const int> depths) {
  return std::make_unique<ResNet<Bottleneck>>(config, depths);
}

}  // namespace rt
