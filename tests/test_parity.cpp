// The whole network against PyTorch, from the same weights and batches. The fixtures were recorded by
// tests/torch_fixture.py; RT_PARITY_FIXTURE=FILE compares with one more, such as the full-size ResNet-18 of
// `torch_fixture.py --full FILE`.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/rng.hpp"
#include "tests/support/cuda_test.hpp"
#include "tests/support/network.hpp"
#include "tests/support/source_folder.hpp"
#include "train/engine/executor.hpp"
#include "train/files/safetensors.hpp"

using namespace rt;
using namespace rt::testing;

namespace {

struct Fixture {
  SafetensorsFile file;
  nlohmann::json options;
  int64_t steps, batch, side;

  explicit Fixture(const std::string& path) : file(SafetensorsFile::open(path)) {
    options = nlohmann::json::parse(file.metadata().at("options"));
    const auto& shape = file.find("images")->shape;
    steps = shape[0];
    batch = shape[1];
    side = shape[3];
  }
  const float* f32(const std::string& name) const { return reinterpret_cast<const float*>(file.find(name)->data); }
  const double* f64(const std::string& name) const { return reinterpret_cast<const double*>(file.find(name)->data); }
  ModelConfig model() const {
    return {.arch = options["arch"],
            .stem = options["stem"],
            .classes = options["classes"],
            .channels = 3,
            .width = options["width"]};
  }
  Batch at(int64_t step) const {
    Batch b;
    b.count = batch;
    b.images = const_cast<float*>(f32("images")) + step * batch * 3 * side * side;
    b.labels = reinterpret_cast<int32_t*>(const_cast<std::byte*>(file.find("labels")->data)) + step * batch;
    return b;
  }
};

double distance(const float* a, const float* b, int64_t n) {
  double difference = 0, norm = 0;
  for (int64_t i = 0; i < n; ++i) {
    difference += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    norm += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(difference / std::max(norm, 1e-30));
}

struct Worst {
  double value = 0;
  std::string name;
  void see(double v, const std::string& n) {
    if (v > value || std::isnan(v)) {
      value = v;
      name = n;
    }
  }
};

struct Trained : Network {
  std::unique_ptr<Executor> executor;

  // `attempt` other than 0 starts from weights that differ by some units in the last place.
  Trained(const Fixture& f, bool plan, Device device, uint32_t attempt) : Network(f.model()) {
    const auto& o = f.options;
    Rng rng(1, RngPurpose::test, attempt);
    for (const NamedView& v : state->parameters()) {
      std::memcpy(v.view.data, f.f32("model." + v.name), v.view.spec.bytes());
      if (attempt)
        for (int64_t i = 0; i < v.view.numel(); ++i) v.view.as<float>()[i] *= 1 + rng.uniform(-2e-7f, 2e-7f);
    }
    for (const NamedView& v : state->statistics())
      std::memcpy(v.view.data, f.f32("model." + v.name), v.view.spec.bytes());
    ExecutorOptions e;
    e.device = device;
    e.optimize.plan = plan;
    e.label_smoothing = o["smoothing"];
    e.optimizer_attrs = {.momentum = o["momentum"], .nesterov = o["nesterov"], .weight_decay = o["weight_decay"]};
    e.control.clip_norm = o["clip_norm"];
    e.decay_all = o["decay_all"];
    e.largest_batch = f.batch;
    e.height = e.width = f.side;
    executor = std::make_unique<Executor>(*net, *state, e);
  }
};

// Whether everything lies within the bounds; checks it if `demand`.
bool agrees(const std::string& path, bool plan, Device device, uint32_t attempt, bool demand) {
  const Fixture f(path);
  CAPTURE(path);
  CAPTURE(plan);
  const double lr = f.options["lr"];
  Trained m(f, plan, device, attempt);

  Trained first(f, plan, device, attempt);
  std::vector<double> losses;
  losses.push_back(first.executor->train(f.at(0), 1.0, true, false, 0).loss);  // no update: gradients as they are
  first.state->pull();
  Worst gradient, statistic;
  for (const NamedView& g : first.state->gradients())
    gradient.see(distance(g.view.as<float>(), f.f32("grad." + g.name), g.view.numel()), g.name);
  const double logits =
      distance(first.executor->logits().as<float>(), f.f32("logits"), f.batch * f.options["classes"].get<int64_t>());
  Trained once(f, plan, device, attempt);
  once.executor->train(f.at(0), 1.0, true, true, 0);  // only an update commits the statistics
  once.state->pull();

  for (const NamedView& s : once.state->statistics())
    statistic.see(distance(s.view.as<float>(), f.f32("stats." + s.name), s.view.numel()), s.name);

  losses.clear();
  for (int64_t t = 0; t < f.steps; ++t) losses.push_back(m.executor->train(f.at(t), 1.0, true, true, lr).loss);
  const double *torch = f.f64("losses"), *other = f.f64("losses_other_threads");
  double early = 0, late = 0, itself_early = 0, itself = 0;
  for (int64_t t = 0; t < f.steps; ++t) {
    const double ours = std::abs(losses[static_cast<size_t>(t)] - torch[t]) / torch[t];
    double& worst = t < 20 ? early : late;
    worst = std::max(worst, ours);
    double& noise = t < 20 ? itself_early : itself;
    noise = std::max(noise, std::abs(other[t] - torch[t]) / torch[t]);
  }
  m.state->pull();
  Worst final_weight;
  if (f.file.find("final.fc.weight"))
    for (const NamedView& v : m.state->parameters())
      final_weight.see(distance(v.view.as<float>(), f.f32("final." + v.name), v.view.numel()), v.name);

  MESSAGE(std::string(path) << std::string(device == Device::cuda ? " on CUDA" : "")
                            << std::string(plan ? " (plan)" : " (eager)") << ", attempt " << attempt << ": logits "
                            << logits << ", gradients " << gradient.value << " (" << gradient.name << "), statistics "
                            << statistic.value << ", losses 1-20 " << early << ", 21-" << f.steps << ": " << late
                            << " (PyTorch from itself at another thread count: " << itself << "), final weights "
                            << final_weight.value);
  CHECK(logits < 1e-5);
  CHECK(statistic.value < 1e-5);
  // Where rounding decides on which side of zero a ReLU's input lies, PyTorch differs from itself by more than these
  // bounds; then that difference, which the fixture records, is the bound.
  const double gradient_bound = std::max(1e-4, f.options.value("gradient_noise", 0.0));
  const double early_bound = std::max(1e-4, itself_early), late_bound = std::max(1e-4, itself);
  if (demand) {
    CHECK(gradient.value < gradient_bound);
    CHECK(early < early_bound);
    CHECK(late <= late_bound);
    CHECK(final_weight.value < 1e-3);
  }
  return gradient.value < gradient_bound && early < early_bound && late <= late_bound && final_weight.value < 1e-3;
}

// The same happens to us, in a few runs of a hundred. Then a start that differs by rounding puts that input on
// PyTorch's side of zero about every other time, while a fault stays.
void compare(const std::string& path, bool plan, Device device = Device::cpu) {
  constexpr uint32_t attempts = 4;
  for (uint32_t attempt = 0; attempt < attempts; ++attempt)
    if (agrees(path, plan, device, attempt, attempt == attempts - 1)) return;
}

}  // namespace

TEST_CASE("parity: logits, gradients, statistics and the losses of SGD steps are PyTorch's") {
  const std::filesystem::path fixtures = source_folder() / "tests/fixtures";
  for (const char* name : {"torch_cifar.safetensors", "torch_imagenet.safetensors"})
    for (bool plan : {true, false}) compare(fixtures / name, plan);
  if (cuda::support().problem.empty()) {
    cuda::use(0);
    for (int capability : {61, 90}) {
      const testing::ForceCapability forced(capability);
      compare(fixtures / "torch_cifar.safetensors", true, Device::cuda);
      compare(fixtures / "torch_imagenet.safetensors", true, Device::cuda);
    }
  }
  if (const char* extra = std::getenv("RT_PARITY_FIXTURE")) compare(extra, true);
}
