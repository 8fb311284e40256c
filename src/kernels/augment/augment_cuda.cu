// Augmentation on the GPU: images of a resident data set (or of one batch) become what the network reads, in one pass.
// Threads walk the result in the order it is written, 16 bytes each; the bytes they gather come in any order through
// the cache. A block serves part of one image, so that its random numbers are drawn once.
#include "kernels/augment/augment.hpp"
#include "kernels/cuda/cuda.hpp"

namespace rt::cuda {
namespace {

constexpr int threads = 256, packs_per_thread = 8;

struct Inputs {
  const uint8_t* pixels;
  const int32_t *rows, *samples, *epoch;
  const float* table;
  int height, width;
};

// Blocks: (image, part of it). width elements at a time: consecutive ones of an image, in the order of memory.
template <class T, int width>
__global__ void crop_flip_normalise(Inputs in, AugmentAttrs attrs, bool nhwc, T* images) {
  __shared__ float table[3 * 256];
  __shared__ Crop drawn;
  const int64_t n = blockIdx.x;
  for (int i = static_cast<int>(threadIdx.x); i < 3 * 256; i += threads) table[i] = in.table[i];
  if (threadIdx.x == 0)
    drawn = draw_crop(attrs, static_cast<uint32_t>(in.epoch[0]), static_cast<uint32_t>(in.samples[n]));
  __syncthreads();
  const Crop crop = drawn;
  const int plane = in.height * in.width, packs = 3 * plane / width;
  const uint8_t* pixels = in.pixels + int64_t{in.rows[n]} * 3 * plane;
  T* image = images + n * 3 * plane;
  const int first = static_cast<int>(blockIdx.y) * threads * packs_per_thread;
  const int last = first + threads * packs_per_thread;
  for (int p = first + static_cast<int>(threadIdx.x); p < last && p < packs; p += threads) {
    const int start = p * width, pixel = nhwc ? start / 3 : start % plane;
    int c = nhwc ? start % 3 : start / plane, y = pixel / in.width, x = pixel % in.width;
    Pack<T, width> values;
    for (int j = 0; j < width; ++j) {
      const int from_y = y + crop.down, from_x = (crop.mirror ? in.width - 1 - x : x) + crop.right;
      const bool inside = from_y >= 0 && from_y < in.height && from_x >= 0 && from_x < in.width;
      const int byte = inside ? pixels[c * plane + from_y * in.width + from_x] : 0;
      values.v[j] = from_float<T>(table[c * 256 + byte]);
      if (nhwc && ++c < 3) continue;
      if (nhwc) c = 0;
      if (++x < in.width) continue;
      x = 0;
      if (++y < in.height) continue;
      y = 0;
      ++c;  // the next plane
    }
    reinterpret_cast<Pack<T, width>*>(image)[p] = values;
  }
}

}  // namespace

void augment(const Args& a) {
  const Spec& images = a.out[0].spec;
  const Shape& s = images.shape;
  const Inputs in{.pixels = pointer<const uint8_t>(a.in[0]),
                  .rows = pointer<const int32_t>(a.in[1]),
                  .samples = pointer<const int32_t>(a.in[2]),
                  .epoch = pointer<const int32_t>(a.in[3]),
                  .table = pointer<const float>(a.in[4]),
                  .height = static_cast<int>(s.h()),
                  .width = static_cast<int>(s.w())};
  const int64_t elements = s.numel() / s.n();
  with_type(images.dtype, [&](auto zero) {
    using T = decltype(zero);
    auto launch = [&](auto width) {
      const dim3 grid(static_cast<unsigned>(s.n()), blocks_for(elements / width(), threads * packs_per_thread));
      RT_LAUNCH((crop_flip_normalise<T, width()>), grid, threads, 0, a.stream, in, augment_attrs(a.ops),
                images.layout == Layout::nhwc, pointer<T>(a.out[0]));
    };
    if (elements % pack_of<T> == 0)
      launch(std::integral_constant<int, pack_of<T>>{});
    else  // images do not begin at multiples of 16 bytes
      launch(std::integral_constant<int, 1>{});
  });
}

}  // namespace rt::cuda
