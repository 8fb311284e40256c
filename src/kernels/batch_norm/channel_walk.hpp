// How the threads of a CUDA kernel walk over x [N,C,H,W] so that each stays with its channels: what belongs to a
// channel is then read once, and a reduction stays in registers. A block takes one chunk of one tile of channels;
// chunks follow from the shape alone. Everything is counted in units of `width` adjacent elements, which are one
// access. In NHWC a unit lies across `width` channels, and a tile of channels has as many units a row as fill 128
// bytes; in NCHW a unit lies along a plane, all of one channel.
#pragma once
#include <type_traits>

#include "kernels/cuda/cuda.hpp"

namespace rt::cuda {

constexpr int walk_threads = 256;

struct Chunks {
  int channels, plane;   // plane: units in one (NCHW)
  int units, per_chunk;  // units of a channel (tile), and of a chunk; the last chunk may be shorter
  int tiles, count;      // of channels; of chunks in each: the grid

  dim3 grid() const { return dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(count)); }
  __device__ int units_of(int chunk) const { return chunk + 1 < count ? per_chunk : units - chunk * per_chunk; }
};

template <int width_, bool nhwc_>
struct Walk {
  static constexpr bool nhwc = nhwc_;
  static constexpr int width = width_;
  static constexpr int channels = nhwc ? width : 1;                // of a thread
  static constexpr int columns = nhwc ? (width > 1 ? 8 : 32) : 1;  // threads along the channels
  static constexpr int rows = walk_threads / columns;              // threads along a chunk

  // About `blocks` blocks where the shape has work for them: two units for every thread.
  static Chunks cut(const Spec& x, int64_t blocks) {
    const Shape& s = x.shape;
    const int64_t plane = s.h() * s.w(), units = s.n() * plane / (nhwc ? 1 : width);
    RT_CHECK(units < (int64_t{1} << 30), "batch_norm: {} has {} places per channel (at most 2^30); use a smaller batch",
             x.str(), units);
    const int64_t tiles = nhwc ? ceil_div(s.c(), columns * width) : s.c();
    const int64_t wanted = std::clamp<int64_t>(blocks / tiles, 1, ceil_div(units, 2 * rows));
    const int64_t per_chunk = ceil_div(ceil_div(units, wanted), rows) * rows;
    return {.channels = static_cast<int>(s.c()),
            .plane = static_cast<int>(plane / (nhwc ? 1 : width)),
            .units = static_cast<int>(units),
            .per_chunk = static_cast<int>(per_chunk),
            .tiles = static_cast<int>(tiles),
            .count = static_cast<int>(ceil_div(units, per_chunk))};
  }

  const Chunks& chunks;
  int channel;     // the first of this thread's
  int first, end;  // units

  __device__ explicit Walk(const Chunks& c) : chunks(c) {
    const int thread = static_cast<int>(threadIdx.x), chunk = static_cast<int>(blockIdx.y);
    channel = (static_cast<int>(blockIdx.x) * columns + thread % columns) * channels;
    first = chunk * c.per_chunk + thread / columns;
    end = inside() ? chunk * c.per_chunk + c.units_of(chunk) : 0;
  }
  __device__ bool inside() const { return channel < chunks.channels; }  // the last tile may reach beyond

  __device__ int64_t offset(int unit) const {  // in elements
    if (nhwc) return int64_t{unit} * chunks.channels + channel;
    const unsigned image = static_cast<unsigned>(unit) / static_cast<unsigned>(chunks.plane);
    const int64_t plane = int64_t{image} * chunks.channels + channel;
    return (plane * chunks.plane + (unit - static_cast<int>(image) * chunks.plane)) * width;
  }

  // Calls f(offsets) with int64_t offsets[depth], for what remains with [depth / 2], and so on: f loads all of them
  // before it computes.
  template <int depth, class F>
  __device__ void each(F&& f) const {
    each_from<depth>(first, f);
  }

 private:
  template <int depth, class F>
  __device__ void each_from(int unit, F& f) const {
    for (; unit + (depth - 1) * rows < end; unit += depth * rows) {
      int64_t at[depth];
      for (int i = 0; i < depth; ++i) at[i] = offset(unit + i * rows);
      f(at);
    }
    if constexpr (depth > 1) each_from<depth / 2>(unit, f);
  }
};

// What the backward kernels read of one unit; y is the ReLU's mask, and only where there is one.
template <class T, int width>
struct MaskedUnit {
  Pack<T, width> dy, y, x;
};
template <bool masked, class T, int width>
__device__ MaskedUnit<T, width> load_masked(const T* dy, const T* y, const T* x, int64_t at) {
  using P = Pack<T, width>;
  MaskedUnit<T, width> u;
  u.dy = *reinterpret_cast<const P*>(dy + at);
  if (masked) u.y = *reinterpret_cast<const P*>(y + at);
  u.x = *reinterpret_cast<const P*>(x + at);
  return u;
}

// Calls f(tag) where decltype(tag)::type is the Walk with the widest access of T that x allows.
template <class T, class F>
void with_walk(const Spec& x, F&& f) {
  constexpr int wide = pack_of<T>;
  const bool nhwc = x.layout == Layout::nhwc;
  const int64_t run = nhwc ? x.shape.c() : x.shape.h() * x.shape.w();
  if (run % wide == 0)
    return nhwc ? f(std::type_identity<Walk<wide, true>>()) : f(std::type_identity<Walk<wide, false>>());
  return nhwc ? f(std::type_identity<Walk<1, true>>()) : f(std::type_identity<Walk<1, false>>());
}

}  // namespace rt::cuda
