// What a batch holds of a sample: the step between a data set and a batch, which makes all images one size.
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
  virtual ImageShape shape() const = 0;  // of every image that it makes: the network's input
  // Whether an image differs from epoch to epoch. Only one that does not can be prepared once and kept on a device.
  virtual bool random() const { return false; }
  // Writes the image of a sample: planar RGB [3,H,W] u8, shape().bytes() of them. Random numbers are drawn from the key
  // alone, so that workers, prefetching and resume change no bit. Workers call it at the same time, and put the
  // sample's name in front of what it throws.
  virtual void prepare(const Dataset& data, const SampleKey& key, std::span<uint8_t> image) const = 0;
};

// The sample as the data set reads it. Error(data) for one that has another shape.
std::shared_ptr<const Preparation> as_stored(const ImageShape& shape);

}  // namespace rt
