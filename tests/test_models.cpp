// The table of architectures: names, shapes and parameter counts as published, and a plain network that learns.
#include <doctest/doctest.h>

#include <set>

#include "core/rng.hpp"
#include "kernels/table.hpp"
#include "layers/models.hpp"
#include "layers/state.hpp"
#include "tests/cuda_test.hpp"
#include "train/engine/executor.hpp"
#include "train/engine/self_test.hpp"

using namespace rt;

namespace {

std::set<std::string> names(const ModelConfig& config) {
  const auto net = make_model(config);
  const ModelState state(*net, nullptr);
  std::set<std::string> list;
  for (const auto& views : {state.parameters(), state.statistics()})
    for (const NamedView& v : views) list.insert(v.name);
  return list;
}

// A narrow network on a few random images.
struct Training {
  static constexpr int64_t images = 8, side = 16;
  std::unique_ptr<Model> net;
  std::unique_ptr<ModelState> state;
  std::unique_ptr<Executor> executor;
  Batch batch;

  Training(const std::string& arch, ExecutorOptions options) : net(make_model({.arch = arch, .width = 8})) {
    options.largest_batch = images;
    options.height = options.width = side;
    state = std::make_unique<ModelState>(*net);
    state->initialise(1);
    executor = std::make_unique<Executor>(*net, *state, options);
    batch.count = images;
    batch.image_storage.resize(static_cast<size_t>(images * 3 * side * side));
    Rng rng(3, RngPurpose::test);
    for (float& x : batch.image_storage) x = rng.uniform(-2, 2);
    for (int32_t i = 0; i < images; ++i) batch.label_storage.push_back(i);
    batch.images = batch.image_storage.data();
    batch.labels = batch.label_storage.data();
  }
  double step() { return executor->train(batch, 1, true, true, 0.05).loss; }
};

}  // namespace

TEST_CASE("models: parameter counts are the published ones") {
  auto count = [](const std::string& arch, const std::string& stem, int64_t classes) {
    const auto net = make_model({.arch = arch, .stem = stem, .classes = classes});
    return ModelState(*net, nullptr).parameter_count();
  };
  CHECK(count("resnet18", "cifar", 10) == 11173962);
  CHECK(count("resnet18", "imagenet", 1000) == 11689512);
  CHECK(count("resnet34", "imagenet", 1000) == 21797672);
  CHECK(count("resnet50", "imagenet", 1000) == 25557032);
  CHECK(count("resnet101", "imagenet", 1000) == 44549160);
  CHECK(count("resnet152", "imagenet", 1000) == 60192808);
  // As usual for CIFAR: 9,231,114, and without the convolutions' 2,752 biases.
  CHECK(count("vgg11", "imagenet", 10) == 9231114 - 2752);
  CHECK(count("vgg11", "cifar", 10) == count("vgg11", "imagenet", 10));
}

TEST_CASE("models: ResNet-18 has 62 parameters and 40 statistics with torchvision's names") {
  const auto net = make_model({.arch = "resnet18", .stem = "imagenet", .classes = 1000});
  const ModelState state(*net, nullptr);
  CHECK(state.parameters().size() == 62);
  CHECK(state.statistics().size() == 40);
  const std::set<std::string> all = names(net->config());
  CHECK(all.size() == 102);
  for (const char* name : {"conv1.weight", "bn1.running_var", "layer1.0.conv1.weight", "layer2.0.downsample.0.weight",
                           "layer4.0.downsample.1.running_mean", "layer4.1.bn2.bias", "fc.weight", "fc.bias"})
    CHECK(all.count(name) == 1);
  CHECK(all.count("layer1.0.downsample.0.weight") == 0);
  CHECK(state.parameters()[0].view.shape() == Shape{64, 3, 7, 7});
}

TEST_CASE("models: VGG's convolutions are numbered as in torchvision's vgg11_bn, one lower without the first pooling") {
  const std::pair<std::string, std::vector<int>> numbers[] = {{"imagenet", {0, 4, 8, 11, 15, 18, 22, 25}},
                                                              {"cifar", {0, 3, 7, 10, 14, 17, 21, 24}}};
  for (const auto& [stem, places] : numbers) {
    std::set<std::string> expected = {"classifier.weight", "classifier.bias"};
    for (const int n : places) {
      expected.insert(rt::format("features.{}.weight", n));
      for (const char* name : {"weight", "bias", "running_mean", "running_var"})
        expected.insert(rt::format("features.{}.{}", n + 1, name));
    }
    CHECK(names({.arch = "vgg11", .stem = stem}) == expected);
  }
}

TEST_CASE("models: every architecture gives logits of its smallest and of larger images, with either stem") {
  for (const Architecture& a : architectures())
    for (const std::string_view stem : stems) {
      CAPTURE(std::string(a.name));
      CAPTURE(std::string(stem));
      const auto net =
          make_model({.arch = std::string(a.name), .stem = std::string(stem), .classes = 7, .channels = 3, .width = 4});
      ModelState state(*net);
      for (const int64_t side : {net->smallest_side(), int64_t{33}, int64_t{64}}) {
        CHECK_NOTHROW(net->check_input(side, side));
        Tape tape(Tape::Mode::trace, kernel_table(), cpu_target());
        const Var x = tape.make({{2, 3, side, side}, DType::f32, Layout::nhwc});
        Pass pass = state.begin(tape, true);
        CHECK(tape.spec((*net)(pass, x)).shape == Shape{2, 7});
      }
    }
}

TEST_CASE("models: what does not exist, and images that are too small, are refused with what there is") {
  CHECK_THROWS_WITH_AS(make_model({.arch = "resnet19"}), doctest::Contains("resnet19: must be one of resnet18, "),
                       Error);
  CHECK_THROWS_WITH_AS(make_model({.arch = "resnet18", .stem = "large"}), doctest::Contains("one of cifar, imagenet"),
                       Error);
  const auto net = make_model({.arch = "vgg11", .stem = "imagenet"});
  CHECK_THROWS_WITH_AS(net->check_input(32, 28),
                       "model.arch=vgg11 with model.stem=imagenet takes images of 32x32 pixels and more, not 32x28",
                       Error);
  ModelState state(*net);
  ExecutorOptions options;
  options.height = options.width = 31;
  CHECK_THROWS_AS(Executor(*net, state, options), Error);
}

TEST_CASE("models: a plain network learns, and computes the same without a plan and without fusion") {
  ExecutorOptions eager;
  eager.optimize.plan = false;
  ExecutorOptions unfused;
  unfused.optimize.fuse = false;
  Training m("vgg11", {});
  Training by_steps("vgg11", eager);
  Training apart("vgg11", unfused);
  const double first = m.step();
  CHECK(by_steps.step() == doctest::Approx(first).epsilon(1e-5));
  CHECK(apart.step() == doctest::Approx(first).epsilon(1e-5));
  double last = 0;
  for (int i = 0; i < 20; ++i) last = m.step();
  MESSAGE("loss " << first << ", after 20 updates more " << last);
  CHECK(last < 0.7 * first);
  CHECK(by_steps.step() == doctest::Approx(apart.step()).epsilon(1e-3));
}

TEST_CASE("models: a plain network's steps agree with the CPU's on CUDA") {
  RT_NEEDS_CUDA();
  ExecutorOptions options;
  options.device = Device::cuda;
  for (const std::string_view stem : stems)
    CHECK(self_test(options, {.arch = "vgg11", .stem = std::string(stem)}, false)->empty());
}
