#include "layers/resnet.hpp"

#include "kernels/batch_norm/batch_norm.hpp"
#include "kernels/conv2d/conv2d.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "kernels/linear/linear.hpp"
#include "kernels/pool/pool.hpp"

namespace rt {

Conv2d::Conv2d(int64_t in, int64_t out, int kernel, int stride, int pad)
    : stride_(stride),
      pad_(pad),
      weight_(parameter("weight", {out, in, kernel, kernel}, Init::kaiming_fan_out, true)) {}
Var Conv2d::forward(Pass& pass, Var x) const { return conv2d(pass.tape, x, pass[*weight_], {stride_, pad_}); }

BatchNorm2d::BatchNorm2d(int64_t channels)
    : weight_(parameter("weight", {channels}, Init::ones, false)),
      bias_(parameter("bias", {channels}, Init::zeros, false)),
      running_mean_(statistic("running_mean", {channels}, Init::zeros)),
      running_var_(statistic("running_var", {channels}, Init::ones)) {}
Var BatchNorm2d::forward(Pass& pass, Var x) const {
  return batch_norm(pass.tape, x, pass[*weight_], pass[*bias_], {pass[*running_mean_], pass[*running_var_]},
                    {.training = pass.training});
}

Linear::Linear(int64_t in, int64_t out)
    : weight_(parameter("weight", {out, in}, Init::uniform_fan_in, true, in)),
      bias_(parameter("bias", {out}, Init::uniform_fan_in, false, in)) {}
Var Linear::forward(Pass& pass, Var x) const { return linear(pass.tape, x, pass[*weight_], pass[*bias_]); }

Downsample::Downsample(int64_t in, int64_t out, int stride)
    : conv_(child<Conv2d>("0", in, out, 1, stride, 0)), bn_(child<BatchNorm2d>("1", out)) {}
Var Downsample::forward(Pass& pass, Var x) const { return (*bn_)(pass, (*conv_)(pass, x)); }

BasicBlock::BasicBlock(int64_t in, int64_t width, int stride)
    : conv1_(child<Conv2d>("conv1", in, width, 3, stride, 1)),
      conv2_(nullptr),
      bn1_(child<BatchNorm2d>("bn1", width)),
      bn2_(nullptr) {
  conv2_ = child<Conv2d>("conv2", width, width, 3, 1, 1);
  bn2_ = child<BatchNorm2d>("bn2", width);
  if (stride != 1 || in != width) downsample_ = child<Downsample>("downsample", in, width, stride);
}
Var BasicBlock::forward(Pass& pass, Var x) const {
  const Var skip = downsample_ ? (*downsample_)(pass, x) : x;
  Var y = relu(pass.tape, (*bn1_)(pass, (*conv1_)(pass, x)));
  y = (*bn2_)(pass, (*conv2_)(pass, y));
  return relu(pass.tape, add(pass.tape, y, skip));
}

Bottleneck::Bottleneck(int64_t in, int64_t width, int stride) {
  const int64_t out = width * expansion;
  conv1_ = child<Conv2d>("conv1", in, width, 1, 1, 0);
  bn1_ = child<BatchNorm2d>("bn1", width);
  conv2_ = child<Conv2d>("conv2", width, width, 3, stride, 1);
  bn2_ = child<BatchNorm2d>("bn2", width);
  conv3_ = child<Conv2d>("conv3", width, out, 1, 1, 0);
  bn3_ = child<BatchNorm2d>("bn3", out);
  if (stride != 1 || in != out) downsample_ = child<Downsample>("downsample", in, out, stride);
}
Var Bottleneck::forward(Pass& pass, Var x) const {
  const Var skip = downsample_ ? (*downsample_)(pass, x) : x;
  Var y = relu(pass.tape, (*bn1_)(pass, (*conv1_)(pass, x)));
  y = relu(pass.tape, (*bn2_)(pass, (*conv2_)(pass, y)));
  y = (*bn3_)(pass, (*conv3_)(pass, y));
  return relu(pass.tape, add(pass.tape, y, skip));
}

namespace {

// Groups "0", "1", ... under "layer1": a name in the tree, with nothing of its own.
class Stage final : public Module {
 public:
  template <class Block>
  static Stage* fill(Stage* stage, int64_t& in, int64_t width, int blocks, int stride, std::vector<Module*>& all) {
    for (int i = 0; i < blocks; ++i) {
      all.push_back(stage->child<Block>(std::to_string(i), in, width, i == 0 ? stride : 1));
      in = width * Block::expansion;
    }
    return stage;
  }

 protected:
  Var forward(Pass&, Var x) const override { return x; }
};

}  // namespace

ResNet::ResNet(const ResNetConfig& config) : config_(config) {
  const bool imagenet = config.stem == "imagenet";
  RT_CHECK(imagenet || config.stem == "cifar", "model.stem is cifar or imagenet, not '{}'", config.stem);
  const bool deep = config.arch == "resnet50";
  RT_CHECK(deep || config.arch == "resnet18" || config.arch == "resnet34",
           "model.arch is resnet18, resnet34 or resnet50, not '{}'", config.arch);
  const int depths[4] = {config.arch == "resnet18" ? 2 : 3, config.arch == "resnet18" ? 2 : 4,
                         config.arch == "resnet18" ? 2 : 6, config.arch == "resnet18" ? 2 : 3};
  conv1_ = imagenet ? child<Conv2d>("conv1", config.channels, config.width, 7, 2, 3)
                    : child<Conv2d>("conv1", config.channels, config.width, 3, 1, 1);
  bn1_ = child<BatchNorm2d>("bn1", config.width);
  int64_t in = config.width, width = config.width;
  for (int i = 0; i < 4; ++i, width *= 2) {
    Stage* stage = child<Stage>("layer" + std::to_string(i + 1));
    if (deep)
      Stage::fill<Bottleneck>(stage, in, width, depths[i], i == 0 ? 1 : 2, blocks_);
    else
      Stage::fill<BasicBlock>(stage, in, width, depths[i], i == 0 ? 1 : 2, blocks_);
  }
  fc_ = child<Linear>("fc", in, config.classes);
}

Var ResNet::forward(Pass& pass, Var x) const {
  x = relu(pass.tape, (*bn1_)(pass, (*conv1_)(pass, x)));
  if (config_.stem == "imagenet") x = max_pool(pass.tape, x, {.kernel = 3, .stride = 2, .pad = 1});
  for (const Module* block : blocks_) x = (*block)(pass, x);
  return (*fc_)(pass, global_avg_pool(pass.tape, x));
}

std::unique_ptr<ResNet> make_resnet(const ResNetConfig& config) {
  auto net = std::make_unique<ResNet>(config);
  net->finish();
  return net;
}

}  // namespace rt
