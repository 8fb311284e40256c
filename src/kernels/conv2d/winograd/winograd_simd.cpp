// The transforms of tiles, once per stride: a line's transform (winograd_lines.hpp) applied from both sides, to images,
// weights and planes where they lie. On the way the transforms do what a convolution has been fused with.
#include "kernels/conv2d/winograd/winograd_simd.hpp"

#include "kernels/conv2d/winograd/winograd_filters.hpp"
#include "kernels/conv2d/winograd/winograd_lines.hpp"
#include "kernels/gemm/gemm_simd.hpp"
#include "kernels/simd/memory_simd.hpp"

namespace rt::RT_ISA {
namespace {

// The pixels of a tile in an image: `size` from (h, w) on, which may reach beyond it.
struct Patch {
  int64_t pitch, pixel;              // floats from one row, one pixel to the next
  int64_t top, bottom, left, right;  // rows [top, bottom) and columns [left, right) lie in the image
  Patch(const WinogradGrid& g, int64_t h, int64_t w, int64_t size)
      : pitch(g.w * g.channels),
        pixel(g.channels),
        top(h < 0 ? -h : 0),
        bottom(g.h - h < size ? g.h - h : size),
        left(w < 0 ? -w : 0),
        right(g.w - w < size ? g.w - w : size) {}
  bool has(int64_t r, int64_t q) const { return r >= top && r < bottom && q >= left && q < right; }
  bool whole(int64_t size) const { return top == 0 && left == 0 && bottom == size && right == size; }
  int64_t at(int64_t r, int64_t q) const { return r * pitch + q * pixel; }
  // Prefetches a vector of each pixel in `size` x `size` from (r0, q0) on, for the tile below, which no hardware
  // prefetcher expects.
  template <int write, int size, class T>
  RT_INLINE void prefetch(const T* p, int64_t r0, int64_t q0) const {
#pragma GCC unroll 8
    for (int r = 0; r < size; ++r)
#pragma GCC unroll 8
      for (int q = 0; q < size; ++q) __builtin_prefetch(p + at(r0 + r, q0 + q), write, 2);
  }
};

// Calls f(tile's number in the part, offset of its corner, its patch) for patches of `size` every `step` pixels from
// `origin`.
template <int size, int step, int origin, class F>
RT_INLINE void each_tile(const WinogradGrid& g, const WinogradPart& part, F f) {
  int64_t j = part.first % g.columns, i = part.first / g.columns % g.rows, n = part.first / g.columns / g.rows;
  for (int64_t t = 0; t < part.tiles; ++t) {
    const int64_t h = i * step + origin, w = j * step + origin;
    f(t, ((n * g.h + h) * g.w + w) * g.channels + part.channel, Patch(g, h, w, size));
    if (++j == g.columns) {
      j = 0;
      if (++i == g.rows) {
        i = 0;
        ++n;
      }
    }
  }
}

template <class S, bool edge, bool normed, class T>
void window(const T* at, const Patch& patch, const WinogradOnLoad& on, float* v, int64_t plane, int64_t channels) {
  for (int64_t k = 0; k < channels; k += lanes) {
    if (k % 16 == 0) patch.prefetch<0, S::step>(at + k, S::window_size, S::window_size - S::step);
    const Vec scale = normed ? load(on.scale + k) : Vec{}, shift = normed ? load(on.shift + k) : Vec{};
    both_sides<S::window_size, S::values, S::window>(
        [&](int r, int q) {
          if (edge && !patch.has(r, q)) return Vec{};
          const Vec x = load(at + patch.at(r, q) + k);
          return normed ? stored<T>(positive(x * scale + shift)) : x;
        },
        [&](int r, int q, Vec x) { store(v + (r * S::values + q) * plane + k, x); });
  }
}

template <class S, bool normed, class T>
void all_windows(const WinogradGrid& g, const WinogradPart& part, const T* x, const WinogradOnLoad& on,
                 WinogradPlanes v) {
  each_tile<S::window_size, S::step, -1>(g, part, [&](int64_t t, int64_t at, const Patch& patch) {
    (patch.whole(S::window_size) ? window<S, false, normed, T> : window<S, true, normed, T>)(x + at, patch, on,
                                                                                             v.data + t * v.row,
                                                                                             v.plane, part.channels);
  });
}

template <class S, class T>
void windows(const WinogradGrid& g, const WinogradPart& part, const T* x, const WinogradOnLoad& on, WinogradPlanes v) {
  if (on.scale)
    all_windows<S, true>(g, part, x, {on.scale + part.channel, on.shift + part.channel}, v);
  else
    all_windows<S, false>(g, part, x, on, v);
}

// sums: null, or the sums of the tile's image from the part's first channel on; begins: it is the image's first tile.
template <class S, bool edge, class T>
void output(const float* m, int64_t plane, T* at, const Patch& patch, int64_t channels, float* sums, bool begins) {
  for (int64_t k = 0; k < channels; k += lanes) {
    if (k % 16 == 0) patch.prefetch<1, 4>(at + k, 4, 0);
    Vec tile[4][4];
    both_sides<S::values, 4, S::output>([&](int r, int q) { return load(m + (r * S::values + q) * plane + k); },
                                        [&](int r, int q, Vec y) {
                                          if (!edge || patch.has(r, q)) store(at + patch.at(r, q) + k, y);
                                          tile[r][q] = y;
                                        });
    if (!sums) continue;
    float* const to = sums + k;
    const Vec near = begins ? stored<T>(tile[0][0]) : load(to);
    Vec sum = begins ? Vec{} : load(to + patch.pixel), squares = begins ? Vec{} : load(to + 2 * patch.pixel);
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) {
      Vec row = Vec{};
#pragma GCC unroll 4
      for (int q = 0; q < 4; ++q) {
        if (edge && !patch.has(r, q)) continue;
        const Vec d = stored<T>(tile[r][q]) - near;
        row += d;
        squares = d * d + squares;
      }
      sum += row;
    }
    store(to, near);
    store(to + patch.pixel, sum);
    store(to + 2 * patch.pixel, squares);
  }
}

template <class S, class T>
void outputs(const WinogradGrid& g, const WinogradPart& part, WinogradPlanes m, T* y, float* sums) {
  each_tile<4, 4, 0>(g, part, [&](int64_t t, int64_t at, const Patch& patch) {
    const int64_t tile = part.first + t, image = tile / g.tiles();
    (patch.whole(4) ? output<S, false, T>
                    : output<S, true, T>)(m.data + t * m.row, m.plane, y + at, patch, part.channels,
                                          sums ? sums + image * 3 * g.channels + part.channel : nullptr,
                                          tile % g.tiles() == 0);
  });
}

// How dy counts: as it is, or as WinogradBatchNorm says, without z or with it.
enum class Source { plain, normed, normed_by_z };

// bn's images begin at the tile's corner, what belongs to a channel at the part's first channel.
template <class S, bool edge, Source source, class T>
void gradient(const T* at, const Patch& patch, const WinogradBatchNorm<T>& bn, float* m, int64_t plane,
              int64_t channels) {
  constexpr bool normed = source != Source::plain;
  for (int64_t k = 0; k < channels; k += lanes) {
    if (k % 16 == 0) {
      patch.prefetch<0, 4>(at + k, 4, 0);
      if constexpr (normed) patch.prefetch<0, 4>(bn.x + k, 4, 0);
      if constexpr (source == Source::normed_by_z) patch.prefetch<0, 4>(bn.z + k, 4, 0);
    }
    auto channel = [&](const float* of) { return normed ? load(of + k) : Vec{}; };
    const Vec scale = channel(bn.scale), shift = channel(bn.shift), mean = channel(bn.mean),
              mean_dy = channel(bn.mean_dy), slope = channel(bn.slope);
    both_sides<4, S::values, S::output_adjoint>(
        [&](int r, int q) {
          if (edge && !patch.has(r, q)) return Vec{};
          const int64_t pixel = patch.at(r, q) + k;
          Vec d = load(at + pixel);
          if constexpr (normed) {
            const Vec x = load(bn.x + pixel);
            if constexpr (source == Source::normed_by_z) {
              d = where_positive(load(bn.z + pixel), d);
              store(bn.d + pixel, d);
            } else {
              d = where_positive(stored<T>(x * scale + shift), d);
            }
            d = stored<T>(scale * ((d - mean_dy) - (x - mean) * slope));
          }
          return d;
        },
        [&](int r, int q, Vec x) { store(m + (r * S::values + q) * plane + k, x); });
  }
}

template <class S, Source source, class T>
void all_gradients(const WinogradGrid& g, const WinogradPart& part, const T* dy, const WinogradBatchNorm<T>& bn,
                   WinogradPlanes m) {
  constexpr bool normed = source != Source::plain, by_z = source == Source::normed_by_z;
  auto channels = [&](const float* of) { return normed ? of + part.channel : nullptr; };
  WinogradBatchNorm<T> of_tile = {.mean = channels(bn.mean),
                                  .scale = channels(bn.scale),
                                  .shift = channels(bn.shift),
                                  .mean_dy = channels(bn.mean_dy),
                                  .slope = channels(bn.slope)};
  each_tile<4, 4, 0>(g, part, [&](int64_t t, int64_t at, const Patch& patch) {
    if (normed) of_tile.x = bn.x + at;
    if (by_z) {
      of_tile.z = bn.z + at;
      of_tile.d = bn.d + at;
    }
    (patch.whole(4) ? gradient<S, false, source, T> : gradient<S, true, source, T>)(dy + at, patch, of_tile,
                                                                                    m.data + t * m.row, m.plane,
                                                                                    part.channels);
  });
}

template <class S, class T>
void gradients(const WinogradGrid& g, const WinogradPart& part, const T* dy, const WinogradBatchNorm<T>& bn,
               WinogradPlanes m) {
  (!bn.x  ? all_gradients<S, Source::plain, T>
   : bn.z ? all_gradients<S, Source::normed_by_z, T>
          : all_gradients<S, Source::normed, T>)(g, part, dy, bn, m);
}

template <class S, bool edge>
void input_gradient(const float* v, int64_t plane, float* at, const Patch& patch, int64_t channels, bool add) {
  // Rows and columns that a tile above or to the left has reached already; there is no such tile where this one sticks
  // out of the image.
  constexpr int overlap = S::window_size - S::step;
  const int above = add ? S::window_size : patch.top ? 0 : overlap, before = patch.left ? 0 : overlap;
  for (int64_t k = 0; k < channels; k += lanes) {
    if (k % 16 == 0) patch.prefetch<1, S::step>(at + k, S::window_size, overlap);
    both_sides<S::values, S::window_size, S::window_adjoint>(
        [&](int r, int q) { return load(v + (r * S::values + q) * plane + k); },
        [&](int r, int q, Vec d) {
          if (edge && !patch.has(r, q)) return;
          float* to = at + patch.at(r, q) + k;
          store(to, r < above || q < before ? load(to) + d : d);
        });
  }
}

template <class S>
void input_gradients(const WinogradGrid& g, const WinogradPart& part, WinogradPlanes v, float* dx, bool add) {
  each_tile<S::window_size, S::step, -1>(g, part, [&](int64_t t, int64_t at, const Patch& patch) {
    (patch.whole(S::window_size) ? input_gradient<S, false> : input_gradient<S, true>)(v.data + t * v.row, v.plane,
                                                                                       dx + at, patch, part.channels,
                                                                                       add);
  });
}

template <class T>
void convert(const float* from, const T* other, T* to, int64_t pixels, int64_t channels_apart, int64_t channels) {
  for (int64_t i = 0; i < pixels; ++i)
    for (int64_t c = 0; c < channels; c += lanes) {
      const int64_t at = i * channels_apart + c;
      const Vec x = load(from + at);
      store(to + at, other ? stored<T>(x) + load(other + at) : x);
    }
}

template <class S, class T>
constexpr WinogradKernels<T> all = {.values = S::values,
                                    .step = S::step,
                                    .windows = windows<S, T>,
                                    .gradients = gradients<S, T>,
                                    .outputs = outputs<S, T>,
                                    .input_gradients = input_gradients<S>,
                                    .convert = convert<T>,
                                    .weights = weights<S, T>,
                                    .weight_gradients = weight_gradients<S, T>};

}  // namespace

extern const WinogradSet winograd_kernels;  // kernels/isa.hpp declares it, for each instruction set
const WinogradSet winograd_kernels = {.f32_stride1 = all<Stride1, float>,
                                      .f32_stride2 = all<Stride2, float>,
                                      .bf16_stride1 = all<Stride1, bf16>,
                                      .bf16_stride2 = all<Stride2, bf16>};

}  // namespace rt::RT_ISA
