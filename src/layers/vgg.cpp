#include "layers/vgg.hpp"

#include <algorithm>

#include "layers/layers.hpp"

namespace rt {
namespace {

bool pools_behind(size_t stage, const ModelConfig& config) { return stage > 0 || config.stem == "imagenet"; }

int64_t smallest_input(const ModelConfig& config, std::span<const int> depths) {  // one pixel is left at the end
  int64_t side = 1;
  for (size_t stage = 0; stage < depths.size(); ++stage) side *= pools_behind(stage, config) ? 2 : 1;
  return side;
}

class Vgg final : public Model {
 public:
  Vgg(const ModelConfig& config, std::span<const int> depths)
      : Model(config, "classifier.", smallest_input(config, depths)) {
    features_ = child<Sequential>("features");
    int64_t in = config.channels;
    int64_t out = config.width;
    for (size_t stage = 0; stage < depths.size(); ++stage) {
      for (int i = 0; i < depths[stage]; ++i) {
        features_->add<Conv2d>(in, out, 3);
        features_->add<BatchNorm2d>(out);
        features_->add<ReLU>();
        in = out;
      }
      if (pools_behind(stage, config)) features_->add<MaxPool2d>(MaxPoolAttrs{.kernel = 2, .stride = 2, .pad = 0});
      out = std::min(2 * out, 8 * config.width);
    }
    classifier_ = child<Linear>("classifier", in, config.classes);
  }

 protected:
  Var forward(Pass& pass, Var x) const override {
    return (*classifier_)(pass, global_avg_pool(pass.tape, (*features_)(pass, x)));
  }

 private:
  Sequential* features_;
  Linear* classifier_;
};

}  // namespace

std::unique_ptr<Model> make_vgg(const ModelConfig& config, std::span<const int> depths) {
  return std::make_unique<Vgg>(config, depths);
}

}  // namespace rt
