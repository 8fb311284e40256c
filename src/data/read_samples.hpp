// Reads many samples by many threads, for what has to see a whole set.
#pragma once
#include <cstdint>
#include <functional>
#include <span>

#include "data/dataset.hpp"
#include "data/preparation.hpp"

namespace rt {

struct ReadOptions {
  int64_t threads = 1;
  const Preparation* preparation = nullptr;  // null: samples as the set stores them, each of its own shape
  // Where sample i goes, as many bytes as it has; empty: into memory that the next one takes again.
  std::function<std::span<uint8_t>(int64_t i)> place = {};
  // The threads that read call it with each sample: in no order, several at the same time.
  std::function<void(int64_t i, std::span<const uint8_t> image)> each = {};
  // All threads ask it before each sample; true: leave off.
  std::function<bool()> stop = {};
};

// How many samples of so many bytes to read at a time: some MiB, and enough to keep so many threads busy.
int64_t samples_at_a_time(int64_t samples, int64_t image_bytes, int64_t threads);

// Reads samples first to first + count - 1. False: stop() was true. Throws the error of the lowest sample that cannot
// be read, with its name in front.
bool read_samples(const Dataset& data, int64_t first, int64_t count, const ReadOptions& options);

}  // namespace rt
