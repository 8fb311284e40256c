// Pooling. An NCHW value is seen as NHWC with N*C images of one channel, so that max pooling is written once; where
// channels lie side by side, a thread takes as many as fill 16 bytes. The backward pass gathers from the windows over a
// pixel: it needs no atomics and has one order.
#include "kernels/cuda/cuda.hpp"
#include "kernels/pool/pool.hpp"

namespace rt::cuda {
namespace {

constexpr int threads = 256;

struct Windows {
  int packs;       // of channels
  int h, w, p, q;  // of x, of y
  int kernel, stride, pad;
};

// The place of pack i in [images, h, w, packs].
struct Place {
  int pack, x, y, image;
  __device__ Place(int64_t i, int packs, int w, int h) {
    auto at = static_cast<unsigned>(i);
    auto next = [&](int size) {
      const unsigned up = at / static_cast<unsigned>(size), digit = at - up * static_cast<unsigned>(size);
      at = up;
      return static_cast<int>(digit);
    };
    pack = next(packs);
    x = next(w);
    y = next(h);
    image = static_cast<int>(at);
  }
};

// One thread per pack of y.
template <class T, int width>
__global__ __launch_bounds__(threads) void max_forward(int64_t n, Windows m, const Pack<T, width>* x, Pack<T, width>* y,
                                                       Pack<uint8_t, width>* index) {
  const int64_t i = int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i >= n) return;
  const Place at(i, m.packs, m.q, m.p);
  const int h0 = at.y * m.stride - m.pad, w0 = at.x * m.stride - m.pad;
  Pack<T, width> best{};
  Pack<uint8_t, width> where{};
  bool first = true;
  for (int r = 0; r < m.kernel; ++r)
    for (int s = 0; s < m.kernel; ++s) {
      const int h = h0 + r, w = w0 + s;
      if (h < 0 || h >= m.h || w < 0 || w >= m.w) continue;
      const Pack<T, width> v = x[((int64_t{at.image} * m.h + h) * m.w + w) * m.packs + at.pack];
      for (int j = 0; j < width; ++j) {
        const float value = to_float(v.v[j]);
        if (first || value > to_float(best.v[j]) || value != value) {  // a NaN wins, as in PyTorch
          best.v[j] = v.v[j];
          where.v[j] = static_cast<uint8_t>(r * m.kernel + s);
        }
      }
      first = false;
    }
  y[i] = best, index[i] = where;
}

// One thread per pack of dx.
template <class T, int width>
__global__ __launch_bounds__(threads) void max_backward(int64_t n, Windows m, const Pack<T, width>* dy,
                                                        const Pack<uint8_t, width>* index, Pack<T, width>* dx) {
  const int64_t i = int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i >= n) return;
  const Place at(i, m.packs, m.w, m.h);
  const int h = at.y + m.pad, w = at.x + m.pad;  // in the padded image
  // the windows over it: p*stride <= h < p*stride + kernel
  const int p0 = h < m.kernel ? 0 : (h - m.kernel) / m.stride + 1, p1 = h / m.stride < m.p ? h / m.stride : m.p - 1;
  const int q0 = w < m.kernel ? 0 : (w - m.kernel) / m.stride + 1, q1 = w / m.stride < m.q ? w / m.stride : m.q - 1;
  float sum[width] = {};
  for (int p = p0; p <= p1; ++p)
    for (int q = q0; q <= q1; ++q) {
      const int64_t o = ((int64_t{at.image} * m.p + p) * m.q + q) * m.packs + at.pack;
      const int here = (h - p * m.stride) * m.kernel + (w - q * m.stride);
      const Pack<T, width> d = dy[o];
      const Pack<uint8_t, width> where = index[o];
      for (int j = 0; j < width; ++j) sum[j] += where.v[j] == here ? to_float(d.v[j]) : 0.0f;
    }
  Pack<T, width> result;
  for (int j = 0; j < width; ++j) result.v[j] = from_float<T>(sum[j]);
  dx[i] = result;
}

// NHWC: one thread per image and pack of adjacent channels.
template <class T, int width>
__global__ __launch_bounds__(threads) void average_nhwc(int64_t n, int packs, int pixels, const Pack<T, width>* x,
                                                        Pack<T, width>* y) {
  const int64_t i = int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i >= n) return;
  const Pack<T, width>* image = x + i / packs * packs * pixels + i % packs;
  float sum[width] = {};
#pragma unroll 4
  for (int k = 0; k < pixels; ++k) {
    const Pack<T, width> v = image[int64_t{k} * packs];
    for (int j = 0; j < width; ++j) sum[j] += to_float(v.v[j]);
  }
  Pack<T, width> result;
  for (int j = 0; j < width; ++j) result.v[j] = from_float<T>(sum[j] / static_cast<float>(pixels));
  y[i] = result;
}

// NCHW: one warp per plane.
template <class T>
__global__ __launch_bounds__(threads) void average_nchw(int64_t n, int pixels, const T* x, T* y) {
  const int64_t plane = int64_t{blockIdx.x} * (threads / 32) + threadIdx.x / 32;
  const int lane = static_cast<int>(threadIdx.x % 32);
  float sum = 0;
  if (plane < n)
    for (int k = lane; k < pixels; k += 32) sum += to_float(x[plane * pixels + k]);
  for (int lanes = 16; lanes > 0; lanes /= 2) sum += __shfl_down_sync(0xffffffffu, sum, lanes);
  if (plane < n && lane == 0) y[plane] = from_float<T>(sum / static_cast<float>(pixels));
}

// One thread per pack of dx; in NCHW a pack lies along a plane and dy is one value of it.
template <class T, int width, bool nhwc>
__global__ __launch_bounds__(threads) void spread(int64_t n, int channels, int pixels, const T* dy,
                                                  Pack<T, width>* dx) {
  const int64_t i = int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i >= n) return;
  const auto at = static_cast<unsigned>(i), image = static_cast<unsigned>(channels / width * pixels);
  Pack<T, width> d;
  if (nhwc)
    d = reinterpret_cast<const Pack<T, width>*>(
        dy)[at / image * static_cast<unsigned>(channels / width) + at % static_cast<unsigned>(channels / width)];
  else
    for (int j = 0; j < width; ++j) d.v[j] = dy[at / static_cast<unsigned>(pixels / width)];
  for (int j = 0; j < width; ++j) d.v[j] = from_float<T>(to_float(d.v[j]) / static_cast<float>(pixels));
  dx[i] = d;
}

unsigned blocks(int64_t items) { return static_cast<unsigned>(ceil_div(items, threads)); }

// Calls f(zero, integral_constant<width>) with the widest access of v's type along a run of that many values.
template <class F>
void with_width(const View& v, int64_t run, F&& f) {
  with_type(v.spec.dtype, [&](auto zero) {
    constexpr int wide = pack_of<decltype(zero)>;
    return run % wide == 0 ? f(zero, std::integral_constant<int, wide>()) : f(zero, std::integral_constant<int, 1>());
  });
}

int channels_aside(const View& v) { return v.spec.layout == Layout::nhwc ? static_cast<int>(v.shape().c()) : 1; }
Windows windows(const Args& a, const Shape& x, const Shape& y, int packs) {
  const MaxPoolAttrs& m = max_pool_attrs(a.ops);
  return {.packs = packs,
          .h = static_cast<int>(x.h()),
          .w = static_cast<int>(x.w()),
          .p = static_cast<int>(y.h()),
          .q = static_cast<int>(y.w()),
          .kernel = m.kernel,
          .stride = m.stride,
          .pad = m.pad};
}

}  // namespace

std::string refuse_pool(const Problem& p) {
  for (const Spec& spec : {p.in[0], p.out[0]}) {
    const int64_t accesses = spec.shape.numel() * (spec.shape.rank() == 2 ? 32 : 1);  // a warp per plane
    if (accesses >= int64_t{1} << 31)
      return rt::format("{} takes {} accesses, less than 2^31 can be counted; use a smaller batch", spec.str(),
                        accesses);
  }
  return "";
}

void max_pool_forward(const Args& a) {
  const View &x = a.in[0], &y = a.out[0];
  with_width(x, channels_aside(x), [&](auto zero, auto width) {
    using P = Pack<decltype(zero), width>;
    const int64_t n = y.numel() / width;
    RT_LAUNCH((max_forward<decltype(zero), width>), blocks(n), threads, 0, a.stream, n,
              windows(a, x.shape(), y.shape(), channels_aside(x) / width), pointer<P>(x), pointer<P>(y),
              (pointer<Pack<uint8_t, width>>(a.out[1])));
  });
}

void max_pool_backward(const Args& a) {
  const View &dy = a.in[0], &dx = a.out[0];
  with_width(dx, channels_aside(dx), [&](auto zero, auto width) {
    using P = Pack<decltype(zero), width>;
    const int64_t n = dx.numel() / width;
    RT_LAUNCH((max_backward<decltype(zero), width>), blocks(n), threads, 0, a.stream, n,
              windows(a, dx.shape(), dy.shape(), channels_aside(dx) / width), pointer<P>(dy),
              (pointer<Pack<uint8_t, width>>(a.in[1])), pointer<P>(dx));
  });
}

void avg_pool_forward(const Args& a) {
  const View &x = a.in[0], &y = a.out[0];
  const int channels = static_cast<int>(x.shape().c()), pixels = static_cast<int>(x.shape().h() * x.shape().w());
  if (x.spec.layout == Layout::nchw)
    return with_type(x.spec.dtype, [&](auto zero) {
      using T = decltype(zero);
      RT_LAUNCH((average_nchw<T>), blocks(y.numel() * 32), threads, 0, a.stream, y.numel(), pixels, pointer<T>(x),
                pointer<T>(y));
    });
  with_width(x, channels, [&](auto zero, auto width) {
    using P = Pack<decltype(zero), width>;
    const int64_t n = y.numel() / width;
    RT_LAUNCH((average_nhwc<decltype(zero), width>), blocks(n), threads, 0, a.stream, n, channels / width, pixels,
              pointer<P>(x), pointer<P>(y));
  });
}

void avg_pool_backward(const Args& a) {
  const View &dy = a.in[0], &dx = a.out[0];
  const int channels = static_cast<int>(dx.shape().c()), pixels = static_cast<int>(dx.shape().h() * dx.shape().w());
  const bool nhwc = dx.spec.layout == Layout::nhwc;
  with_width(dx, nhwc ? channels : pixels, [&](auto zero, auto width) {
    using T = decltype(zero);
    const int64_t n = dx.numel() / width;
    if (nhwc)
      RT_LAUNCH((spread<T, width, true>), blocks(n), threads, 0, a.stream, n, channels, pixels, pointer<T>(dy),
                (pointer<Pack<T, width>>(dx)));
    else
      RT_LAUNCH((spread<T, width, false>), blocks(n), threads, 0, a.stream, n, channels, pixels, pointer<T>(dy),
                (pointer<Pack<T, width>>(dx)));
  });
}

}  // namespace rt::cuda
