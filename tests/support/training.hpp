// A network that is trained on random images.
#pragma once
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstdint>
#include <memory>

#include "core/rng.hpp"
#include "tests/support/network.hpp"
#include "train/engine/executor.hpp"

namespace rt::testing {

// Square images of three channels, labels of ten classes; another batch for each `which`.
inline Batch random_batch(uint32_t which, int64_t images = 8, int64_t side = 32) {
  Batch b;
  b.count = images;
  b.image_storage.resize(static_cast<size_t>(images * 3 * side * side));
  b.label_storage.resize(static_cast<size_t>(images));
  Rng rng(3, RngPurpose::test, which);
  for (float& x : b.image_storage) x = rng.uniform(-2, 2);
  for (int32_t& y : b.label_storage) y = static_cast<int32_t>(rng.below(10));
  b.images = b.image_storage.data();
  b.labels = b.label_storage.data();
  return b;
}

struct Training : Network {
  std::unique_ptr<Executor> executor;

  Training(const ModelConfig& config, ExecutorOptions options, int64_t largest_batch, int64_t side) : Network(config) {
    options.largest_batch = largest_batch;
    options.height = options.width = side;
    executor = std::make_unique<Executor>(*net, *state, options);
  }
  StepResult step(const Batch& batch, double lr) { return executor->train(batch, 1, true, true, lr); }
  // Of all numbers that a step may change.
  uint64_t hash() const {
    XXH64_state_t h;
    XXH64_reset(&h, 0);
    for (const View& v :
         {state->weights(), state->grads(), state->slot("momentum"), state->running(), state->running_fresh()})
      XXH64_update(&h, v.data, v.spec.bytes());
    return XXH64_digest(&h);
  }
};

}  // namespace rt::testing
