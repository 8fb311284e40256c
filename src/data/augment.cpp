#include "data/augment.hpp"

#include <algorithm>

namespace rt {

NormaliseTable::NormaliseTable(const Normalisation& normalisation) {
  for (int c = 0; c < 3; ++c)
    for (int v = 0; v < 256; ++v)
      values_[c][v] = (static_cast<float>(v) / 255.0f - normalisation.mean[c]) / normalisation.std[c];
}

void normalise(const uint8_t* pixels, int height, int width, const NormaliseTable& table, float* out) {
  const int64_t plane = static_cast<int64_t>(height) * width;
  for (int c = 0; c < 3; ++c, pixels += plane, out += plane) {
    const float* value = table.channel(c);
    for (int64_t i = 0; i < plane; ++i) out[i] = value[pixels[i]];
  }
}

void augment(const uint8_t* pixels, int height, int width, const AugmentOptions& options, const NormaliseTable& table,
             Rng rng, float* out) {
  const int padding = options.crop_padding;
  const auto shifts = static_cast<uint32_t>(2 * padding + 1);
  const int down = static_cast<int>(rng.below(shifts)) - padding, right = static_cast<int>(rng.below(shifts)) - padding;
  const bool mirror = (rng.next() >> 31) != 0 && options.flip;

  // The columns [begin, end) of the crop lie in the image, the others in the padding.
  const int begin = std::clamp(-right, 0, width), end = std::clamp(width - right, 0, width);
  for (int c = 0; c < 3; ++c) {
    const float* value = table.channel(c);
    for (int y = 0; y < height; ++y, out += width) {
      const int source_y = y + down;
      if (source_y < 0 || source_y >= height) {
        std::fill_n(out, width, value[0]);
        continue;
      }
      const uint8_t* row = pixels + (static_cast<int64_t>(c) * height + source_y) * width;
      std::fill(out, out + begin, value[0]);
      for (int x = begin; x < end; ++x) out[x] = value[row[x + right]];
      std::fill(out + end, out + width, value[0]);
      if (mirror) std::reverse(out, out + width);
    }
  }
}

}  // namespace rt
