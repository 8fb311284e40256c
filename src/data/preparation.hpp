// What a batch holds of a sample: the step between a data set and a batch. A preparation that is random draws from its
// key alone, so that workers, prefetching and resume change no bit.
#pragma once
#include <cstdint>
#include <memory>
#include <span>

#include "data/dataset.hpp"

namespace rt {

struct SampleKey {
  uint64_t seed = 0;
  uint32_t epoch = 0;
  uint32_t sample = 0;  // index in the data set
};

class Preparation {
 public:
  virtual ~Preparation() = default;
  // Writes the image: planar RGB [3,H,W] u8 of the data set's size. The loader's workers call it at the same time, and
  // put the sample's name in front of what it throws.
  virtual void prepare(const Dataset& data, const SampleKey& key, std::span<uint8_t> image) const = 0;
};

// The sample as the data set reads it, the same in every epoch.
std::shared_ptr<const Preparation> as_stored();

}  // namespace rt
