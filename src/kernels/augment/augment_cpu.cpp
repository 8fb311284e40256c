// Augmentation on the CPU: row by row through the table, a plane at a time in either layout (three passes over a row of
// an nhwc image stay in the first-level cache).
#include <algorithm>

#include "kernels/augment/augment.hpp"
#include "kernels/reference.hpp"

namespace rt::cpu::reference {

void augment(const Args& a) {
  const AugmentAttrs& attrs = augment_attrs(a.ops);
  const Shape& images = a.out[0].shape();
  const int64_t count = images.n(), stored = a.in[0].shape().n(), height = images.h(), width = images.w();
  const uint8_t* pixels = a.in[0].as<uint8_t>();
  const int32_t *rows = a.in[1].as<int32_t>(), *samples = a.in[2].as<int32_t>();
  const auto epoch = static_cast<uint32_t>(a.in[3].as<int32_t>()[0]);
  const float* table = a.in[4].as<float>();
  for (int64_t n = 0; n < count; ++n)
    RT_CHECK(rows[n] >= 0 && rows[n] < stored, "augment: row {} of {} images", rows[n], stored);
  const Strides to = a.out[0].spec.strides();
  with_type(a.out[0], [&](auto zero) {
    using T = decltype(zero);
    T* out = a.out[0].as<T>();
    T values[3 * 256];
    for (int i = 0; i < 3 * 256; ++i) values[i] = static_cast<T>(table[i]);
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < count; ++n) {
      const Crop crop = draw_crop(attrs, epoch, static_cast<uint32_t>(samples[n]));
      // The columns [begin, end) of the crop lie in the image, the others in the padding.
      const int64_t begin = std::clamp<int64_t>(-crop.right, 0, width);
      const int64_t end = std::clamp<int64_t>(width - crop.right, 0, width);
      const int64_t step = crop.mirror ? -to.w : to.w, first = crop.mirror ? (width - 1) * to.w : 0;
      for (int64_t y = 0; y < height; ++y)
        for (int64_t c = 0; c < 3; ++c) {
          const T *value = values + c * 256, padding = value[0];
          T* line = out + n * to.n + c * to.c + y * to.h + first;
          const int64_t source = y + crop.down;
          const bool inside = source >= 0 && source < height;
          const int64_t from = inside ? begin : width, until = inside ? end : width;
          const uint8_t* row = pixels + ((rows[n] * 3 + c) * height + (inside ? source : 0)) * width;
          for (int64_t x = 0; x < from; ++x) line[x * step] = padding;
          for (int64_t x = from; x < until; ++x) line[x * step] = value[row[x + crop.right]];
          for (int64_t x = until; x < width; ++x) line[x * step] = padding;
        }
    }
  });
}

}  // namespace rt::cpu::reference
