// Reads many samples by many threads, for what has to see a whole set.
#pragma once
#include <cstdint>
#include <functional>
#include <span>

#include "data/dataset.hpp"

namespace rt {

struct ReadOptions {
  int64_t threads = 1;
  // The threads that read call it with each sample: in no order, several at the same time.
  std::function<void(int64_t i, std::span<const uint8_t> image)> each = {};
  // All threads ask it before each sample; true: leave off.
  std::function<bool()> stop = {};
};

// How many samples to read at a time: some MiB of them, and enough to keep so many threads busy.
int64_t samples_at_a_time(const Dataset& data, int64_t threads);

// Reads samples first, first+1, ... into `images`, as many as it has room for: [n,3,H,W] u8. False: stop() was true.
// Throws the error of the lowest sample that cannot be read, with its name in front.
bool read_samples(const Dataset& data, int64_t first, std::span<uint8_t> images, const ReadOptions& options);

}  // namespace rt
