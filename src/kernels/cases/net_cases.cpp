// Whole small nets. The list of inputs and the code that takes them in the same order are written as one function: run
// with a tape it records, without one it lists.
#include <cmath>

#include "kernels/batch_norm/batch_norm.hpp"
#include "kernels/cases/operators.hpp"
#include "kernels/conv2d/conv2d.hpp"
#include "kernels/cross_entropy/cross_entropy.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "kernels/linear/linear.hpp"
#include "kernels/pool/pool.hpp"

namespace rt {
namespace {

class Net {
 public:
  explicit Net(std::vector<CaseInput>& inputs) : list_(&inputs) {}
  Net(Tape& tape, Vars inputs) : tape_(&tape), vars_(inputs) {}

  Var take(const CaseInput& input) {
    if (tape_) return vars_[next_++];
    list_->push_back(input);
    return {};
  }
  Var conv_bn(Var x, int64_t c, int64_t k, int64_t size, int stride) {
    const std::string n = rt::format("{}", ++convs_);
    const Conv2dAttrs attrs{stride, static_cast<int>(size / 2)};
    const float bound = 1.5f / std::sqrt(static_cast<float>(c * size * size));
    const Var w = take({"conv" + n, {k, c, size, size}, Role::parameter, Fill::uniform, -bound, bound});
    const Var gamma = take({"gamma" + n, {k}, Role::parameter, Fill::uniform, 0.5f, 1.5f});
    const Var beta = take({"beta" + n, {k}, Role::parameter, Fill::uniform, -0.3f, 0.3f});
    const Var mean = take({"mean" + n, {k}, Role::state, Fill::uniform, -0.5f, 0.5f});
    const Var var = take({"var" + n, {k}, Role::state, Fill::uniform, 0.5f, 1.5f});
    return tape_ ? batch_norm(*tape_, conv2d(*tape_, x, w, attrs), gamma, beta, {mean, var}, {}) : Var{};
  }
  Var relu(Var x) { return tape_ ? rt::relu(*tape_, x) : x; }
  Var max_pool(Var x) { return tape_ ? rt::max_pool(*tape_, x, {}) : x; }
  Var join(Var a, Var b) { return tape_ ? rt::relu(*tape_, add(*tape_, a, b)) : a; }
  Var sum(Var a, Var b) { return tape_ ? add(*tape_, a, b) : a; }
  Var basic_block(Var x, int64_t c, int64_t k, int stride) {
    const Var main = conv_bn(relu(conv_bn(x, c, k, 3, stride)), k, k, 3, 1);
    return join(main, c == k ? x : conv_bn(x, c, k, 1, stride));
  }
  Var bottleneck(Var x, int64_t c, int64_t k, int stride) {
    const Var main = conv_bn(relu(conv_bn(relu(conv_bn(x, c, k, 1, 1)), k, k, 3, stride)), k, 4 * k, 1, 1);
    return join(main, c == 4 * k ? x : conv_bn(x, c, 4 * k, 1, stride));
  }
  Var classify(Var x, int64_t n, int64_t c, int64_t classes) {
    const Var w = take({"fc.weight", {classes, c}, Role::parameter}), b = take({"fc.bias", {classes}, Role::parameter});
    const Var labels = take({"labels", {n}, Role::labels, Fill::uniform, 0, static_cast<float>(classes)});
    return tape_ ? cross_entropy(*tape_, linear(*tape_, global_avg_pool(*tape_, x), w, b), labels, 0.1).loss : Var{};
  }

 private:
  std::vector<CaseInput>* list_ = nullptr;
  Tape* tape_ = nullptr;
  Vars vars_;
  size_t next_ = 0;
  int convs_ = 0;
};

Var basic_net(Net& net) {
  Var x = net.take({"images", {4, 3, 8, 8}});
  x = net.relu(net.conv_bn(x, 3, 8, 3, 1));
  x = net.basic_block(x, 8, 16, 2);
  x = net.basic_block(x, 16, 16, 1);
  return net.classify(x, 4, 16, 7);
}
Var bottleneck_net(Net& net) {
  Var x = net.take({"images", {3, 3, 17, 15}});
  x = net.max_pool(net.relu(net.conv_bn(x, 3, 8, 7, 2)));
  x = net.bottleneck(x, 8, 4, 2);
  x = net.bottleneck(x, 16, 4, 1);
  return net.classify(x, 3, 16, 5);
}
// Convolutions beside all the steps that one of them may be fused with: what it reads comes from a batch norm or does
// not, has other readers or none, and what it writes is normalised with or without a ReLU.
template <int images, int channels = 16, int height = 9, int width = 13>
Var fused_net(Net& net) {
  constexpr int c = channels;
  Var x = net.take({"images", {images, c, height, width}});
  const Var others = net.take({"other images", {images, c, height, width}});
  x = net.basic_block(x, c, c, 1);
  x = net.sum(net.conv_bn(x, c, c, 3, 1), x);
  x = net.sum(net.conv_bn(x, c, c, 3, 1), x);
  return net.sum(net.conv_bn(net.relu(net.conv_bn(others, c, c, 3, 1)), c, c, 3, 1), x);
}
template <int images, int channels, int height, int width>
Var two_blocks(Net& net) {  // the first one's end is the second one's input, and its skip connection
  const Var x = net.take({"images", {images, channels, height, width}});
  return net.basic_block(net.basic_block(x, channels, channels, 1), channels, channels, 1);
}
OpCase net_case(std::string label, Var (*net)(Net&)) {
  OpCase c{"net", std::move(label), {}, [net](Tape& t, Vars v) {
             Net recording(t, v);
             return net(recording);
           }};
  Net listing(c.in);
  net(listing);
  return c;
}

}  // namespace

Cases net_cases() {
  return {.small =
              {
                  net_case("basic blocks, downsample and identity", basic_net),
                  net_case("bottlenecks, imagenet stem", bottleneck_net),
                  net_case("fused convolutions", fused_net<3>),
              },
          .larger = {net_case("fused convolutions, more images", fused_net<19>)}};
}

std::vector<OpCase> large_cases() {
  return {net_case("fused convolutions, large images", fused_net<7, 16, 31, 30>),
          net_case("fused convolutions, many channels", fused_net<9, 144, 13, 13>),
          net_case("two blocks, large images", two_blocks<7, 16, 31, 30>),
          net_case("two blocks, many channels", two_blocks<9, 144, 13, 13>)};
}

}  // namespace rt
