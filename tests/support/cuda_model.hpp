// A small network on CUDA with a few images, for tests of whole training steps.
#pragma once
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "core/rng.hpp"
#include "tests/support/cuda_test.hpp"
#include "tests/support/memory_dataset.hpp"
#include "tests/support/network.hpp"
#include "train/config/device_choice.hpp"
#include "train/engine/executor.hpp"

namespace rt::testing {

inline constexpr int64_t count = 4, side = 16, set_size = 11;

// A few images; the last batch of an epoch is not full. Noise, or stripes whose width tells the class.
class Images final : public MemoryDataset {
 public:
  explicit Images(bool stripes = false) : MemoryDataset(set_size, side, 10) {
    Rng rng(5, RngPurpose::test);
    for (size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<uint8_t>(rng.next() >> 24);
      const auto image = static_cast<int64_t>(i) / (3 * side * side), y = static_cast<int64_t>(i) / side % side;
      if (stripes) bytes[i] = static_cast<uint8_t>(bytes[i] / 8 + (y / (1 + label(image)) % 2 ? 160 : 32));
    }
  }
};

inline std::vector<float> part(const std::vector<NamedView>& list) {
  std::vector<float> all;
  for (const NamedView& v : list) all.insert(all.end(), v.view.as<float>(), v.view.as<float>() + v.view.numel());
  return all;
}

struct CudaTraining : Network {
  Images data;
  std::unique_ptr<Executor> executor;
  std::unique_ptr<Loader> loader;
  uint32_t epoch = 0;

  explicit CudaTraining(ExecutorOptions o, bool resident = false, const std::string& stem = "cifar",
                        bool stripes = false)
      : Network({.arch = "resnet18", .stem = stem, .width = 8}), data(stripes) {
    o.largest_batch = count;
    o.height = o.width = side;
    o.augment = {.crop_padding = 2, .flip = true, .random = true, .seed = 3};
    const float mean[] = {0.5f, 0.4f, 0.3f}, deviation[] = {0.2f, 0.25f, 0.3f};
    o.normalise = std::make_shared<Tensor>(normalise_table(mean, deviation));
    executor = std::make_unique<Executor>(*net, *state, o);
    if (resident) executor->hold(data, *as_stored(data.info().image), true);
    LoaderOptions l;
    l.batch = count;
    l.shuffle = true;
    l.seed = 2;
    l.gather = !resident;
    loader = std::make_unique<Loader>(data, l);
    loader->start(0);
  }
  const Batch& next() {
    const Batch* batch = loader->next();
    if (batch) return *batch;
    loader->start(++epoch);
    return *loader->next();
  }
  StepResult step(double lr = 0.05) { return executor->train(next(), 1, true, true, lr); }
  // Enqueues steps without looking at any result before the last.
  void run_ahead(int steps) {
    for (int i = 0; i < steps; ++i) executor->enqueue(next(), 1, true, true, 0.05);
    while (executor->result(true)) {
    }
  }
  // Weights, momentum and statistics after some steps, as one list of numbers.
  std::vector<float> after(int steps) {
    for (int i = 0; i < steps; ++i) step();
    state->pull();
    std::vector<float> all;
    for (const auto& list : {state->parameters(), state->in_slot("momentum"), state->statistics()})
      for (const NamedView& v : list) all.insert(all.end(), v.view.as<float>(), v.view.as<float>() + v.view.numel());
    return all;
  }
};

inline ExecutorOptions cuda_options(DType precision = DType::f32) {
  ExecutorOptions o;
  o.device = Device::cuda;
  o.precision = precision;
  return o;
}

inline bool computes_in(DType precision) { return precision_problem(cuda_target(), precision).empty(); }

inline double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    norm += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(difference / norm);
}
inline bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace rt::testing
