// From the bytes of an image to the numbers a network sees: crop with padding, horizontal flip, normalise.
// Padding is raw 0 before normalisation (as in torchvision's usual recipe), so every output is an entry of a table of
// 256 values per channel: nothing here rounds differently on another machine.
#pragma once
#include <cstdint>

#include "core/rng.hpp"
#include "data/dataset.hpp"

namespace rt {

struct AugmentOptions {
  int crop_padding = 4;  // pixels added on each side before a crop of the original size; 0: no shift
  bool flip = true;      // mirrored left to right half of the time
};

// Entry v of channel c is (v/255 - mean[c]) / std[c] in f32, the bits of torchvision's ToTensor and Normalize.
class NormaliseTable {
 public:
  explicit NormaliseTable(const Normalisation& normalisation);
  const float* channel(int c) const { return values_[c]; }

 private:
  float values_[3][256];
};

// pixels: [3,H,W] u8, planar. out: [3,H,W] f32, planar.
void normalise(const uint8_t* pixels, int height, int width, const NormaliseTable& table, float* out);

// The same with a random crop and flip. Three draws, always in this order and whatever the options are (so that
// switching one off does not change the others): rows down, columns right, mirror.
void augment(const uint8_t* pixels, int height, int width, const AugmentOptions& options, const NormaliseTable& table,
             Rng rng, float* out);

}  // namespace rt
