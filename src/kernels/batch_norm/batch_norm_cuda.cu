// Batch normalisation's reductions. A block reduces one chunk of its channels, first each thread in registers, then the
// threads in a tree; a second kernel merges the chunks of a channel, a warp each. Statistics are (count, mean, M2) all
// the way (Chan et al., 1979), since E[x^2]-E[x]^2 cancels in f32 when mean >> std. Every order is fixed by the shape.
#include "kernels/batch_norm/batch_norm.hpp"
#include "kernels/batch_norm/channel_walk.hpp"

namespace rt::cuda {
namespace {

// A few for each multiprocessor of a large card, and few partial results on a small one.
constexpr int reduction_blocks = 512;
constexpr unsigned whole_warp = 0xffffffffu;

struct Partial {  // of one channel
  float a, b;
};

// a: mean, b: M2, the sum of squared distances from it
template <class T>
struct Stats {
  static constexpr int depth = 4;  // units in flight
  const T* x;
  float eps;
  float *mean, *rstd, *var;

  template <int width>
  using Unit = Pack<T, width>;
  template <int width>
  __device__ Unit<width> load(int64_t at) const {
    return *reinterpret_cast<const Unit<width>*>(x + at);
  }
  __device__ float about(int) const { return 0; }

  template <int width, int k>
  __device__ static void add(Partial& to, float count, const Unit<width> (&u)[k], int lane, float) {
    float v[k], sum = 0, squares = 0;
    for (int i = 0; i < k; ++i) {
      v[i] = to_float(u[i].v[lane]);
      sum += v[i];
    }
    const float mean = sum * (1.0f / k);
    for (int i = 0; i < k; ++i) squares += (v[i] - mean) * (v[i] - mean);
    merge(to, count, {mean, squares}, k);
  }
  __device__ static void merge(Partial& to, float count, Partial more, float more_count) {
    if (more_count == 0) return;
    const float distance = more.a - to.a, share = more_count / (count + more_count);
    to.a += distance * share;
    to.b += more.b + distance * distance * (count * share);
  }
  __device__ void finish(int c, Partial total, float count) const {
    mean[c] = total.a;
    rstd[c] = 1.0f / sqrtf(total.b / count + eps);
    var[c] = total.b / (count - 1);
  }
};

// a: sum of dy * (x - mean), b: sum of dy; with a mask, where y > 0
template <class T, bool masked>
struct Sums {
  static constexpr int depth = 2;
  const T *dy, *y, *x;
  const float *mean, *rstd;
  float *dgamma, *dbeta;

  template <int width>
  using Unit = MaskedUnit<T, width>;
  template <int width>
  __device__ Unit<width> load(int64_t at) const {
    return load_masked<masked, T, width>(dy, y, x, at);
  }
  __device__ float about(int c) const { return mean[c]; }

  template <int width, int k>
  __device__ static void add(Partial& to, float, const Unit<width> (&u)[k], int lane, float mean) {
    for (int i = 0; i < k; ++i) {
      if (masked && !(to_float(u[i].y.v[lane]) > 0)) continue;
      const float d = to_float(u[i].dy.v[lane]);
      to.a += d * (to_float(u[i].x.v[lane]) - mean);
      to.b += d;
    }
  }
  __device__ static void merge(Partial& to, float, Partial more, float) {
    to.a += more.a;
    to.b += more.b;
  }
  __device__ void finish(int c, Partial total, float) const {
    dgamma[c] = total.a * rstd[c];
    dbeta[c] = total.b;
  }
};

// Merges the threads of a block whose numbers differ by multiples of `columns`; the first of them gets the result. One
// barrier a round is enough: what a round writes, [half, 2 half), only this round reads.
template <class Op, int columns, int n>
__device__ void merge_threads(Partial (&v)[n], float count) {
  __shared__ float a[n][walk_threads], b[n][walk_threads], counts[walk_threads];
  const int thread = static_cast<int>(threadIdx.x);
  for (int half = walk_threads / 2; half >= columns; half /= 2) {
    if (thread >= half && thread < 2 * half) {
      for (int j = 0; j < n; ++j) {
        a[j][thread] = v[j].a;
        b[j][thread] = v[j].b;
      }
      counts[thread] = count;
    }
    __syncthreads();
    if (thread < half) {
      const float more = counts[thread + half];
      for (int j = 0; j < n; ++j) Op::merge(v[j], count, {a[j][thread + half], b[j][thread + half]}, more);
      count += more;
    }
  }
}

// partial [C, chunks]
template <class Op, class W>
__global__ __launch_bounds__(walk_threads, 3) void reduce_chunks(Chunks chunks, Op op, Partial* partial) {
  constexpr int width = W::width;
  const W walk(chunks);
  float about[W::channels];
  for (int j = 0; j < W::channels; ++j) about[j] = walk.inside() ? op.about(walk.channel + j) : 0;
  Partial v[width] = {};
  float count = 0;
  walk.template each<Op::depth>([&](const auto& at) {
    constexpr int k = static_cast<int>(std::extent_v<std::remove_reference_t<decltype(at)>>);
    typename Op::template Unit<width> u[k];
    for (int i = 0; i < k; ++i) u[i] = op.template load<width>(at[i]);
    for (int j = 0; j < width; ++j) Op::template add<width>(v[j], count, u, j, about[j % W::channels]);
    count += k;
  });
  if constexpr (!W::nhwc)  // all lanes are of one channel
    for (int half = width / 2; half > 0; half /= 2, count *= 2)
      for (int j = 0; j < half; ++j) Op::merge(v[j], count, v[j + half], count);
  Partial mine[W::channels];
  for (int j = 0; j < W::channels; ++j) mine[j] = v[j];
  merge_threads<Op, W::columns>(mine, count);
  if (threadIdx.x < W::columns && walk.inside())
    for (int j = 0; j < W::channels; ++j)
      partial[int64_t{walk.channel + j} * chunks.count + static_cast<int>(blockIdx.y)] = mine[j];
}

template <class Op>
__global__ __launch_bounds__(walk_threads) void merge_chunks(Chunks chunks, int per_unit, Op op,
                                                             const Partial* partial) {
  const int channel = static_cast<int>(blockIdx.x * (walk_threads / 32) + threadIdx.x / 32);
  const int lane = static_cast<int>(threadIdx.x % 32), last = chunks.channels - 1;
  const Partial* mine = partial + int64_t{channel < last ? channel : last} * chunks.count;
  Partial v{};
  float count = 0;
#pragma unroll 4
  for (int k = lane; k < chunks.count; k += 32) {
    const auto more = static_cast<float>(chunks.units_of(k) * per_unit);
    Op::merge(v, count, mine[k], more);
    count += more;
  }
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    const Partial other{__shfl_down_sync(whole_warp, v.a, lanes), __shfl_down_sync(whole_warp, v.b, lanes)};
    const float more = __shfl_down_sync(whole_warp, count, lanes);
    Op::merge(v, count, other, more);
    count += more;
  }
  if (lane == 0 && channel <= last) op.finish(channel, v, count);
}

template <class T, class Op>
void reduce(const Args& a, const Op& op) {
  with_walk<T>(a.in[0].spec, [&](auto tag) {
    using W = typename decltype(tag)::type;
    const Chunks chunks = W::cut(a.in[0].spec, reduction_blocks);
    auto* partial = static_cast<Partial*>(a.workspace);
    RT_LAUNCH((reduce_chunks<Op, W>), chunks.grid(), walk_threads, 0, a.stream, chunks, op, partial);
    RT_LAUNCH((merge_chunks<Op>), static_cast<unsigned>(ceil_div(chunks.channels, walk_threads / 32)), walk_threads, 0,
              a.stream, chunks, W::nhwc ? 1 : W::width, op, partial);
  });
}

template <bool masked>
void sums(const Args& a) {
  with_type(a.in[0].spec.dtype, [&](auto zero) {
    using T = decltype(zero);
    reduce<T>(a, Sums<T, masked>{.dy = pointer<T>(a.input("dy")),
                                 .y = pointer<T>(a.input(masked ? "y" : "dy")),
                                 .x = pointer<T>(a.input("x")),
                                 .mean = pointer<float>(a.input("mean")),
                                 .rstd = pointer<float>(a.input("rstd")),
                                 .dgamma = pointer<float>(a.output("dgamma")),
                                 .dbeta = pointer<float>(a.output("dbeta"))});
  });
}

// A sum of squares less the square of the sum loses digits where the mean is large beside the deviation; doubles keep
// what the f32 sums still hold.
__global__ void finish_sums(const float* sums, int channels, float count, float eps, float* mean, float* rstd,
                            float* var) {
  const int c = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (c >= channels) return;
  const double sum = sums[c], squares = sums[channels + c], m = sum / count, about = squares - sum * m;
  const auto m2 = static_cast<float>(about < 0 ? 0 : about);  // a NaN stays one
  mean[c] = static_cast<float>(m);
  rstd[c] = 1.0f / sqrtf(m2 / count + eps);
  var[c] = m2 / (count - 1);
}

}  // namespace

size_t batch_norm_workspace(const Problem& p) {
  size_t bytes = 0;
  with_type(p.in[0].dtype, [&](auto zero) {
    with_walk<decltype(zero)>(p.in[0], [&](auto tag) {
      const Chunks chunks = decltype(tag)::type::cut(p.in[0], reduction_blocks);
      bytes = sizeof(Partial) * static_cast<size_t>(chunks.channels) * static_cast<size_t>(chunks.count);
    });
  });
  return bytes;
}

void batch_norm_stats(const Args& a) {
  with_type(a.in[0].spec.dtype, [&](auto zero) {
    using T = decltype(zero);
    reduce<T>(a, Stats<T>{.x = pointer<T>(a.in[0]),
                          .eps = static_cast<float>(batch_norm_attrs(a.ops).eps),
                          .mean = pointer<float>(a.out[0]),
                          .rstd = pointer<float>(a.out[1]),
                          .var = pointer<float>(a.out[2])});
  });
}
void batch_norm_stats_of_sums(const float* sums, const Args& a) {
  const Shape& x = a.in[0].spec.shape;
  const auto channels = static_cast<int>(x.c());
  RT_LAUNCH(finish_sums, blocks_for(channels, walk_threads), walk_threads, 0, a.stream, sums, channels,
            static_cast<float>(x.numel() / x.c()), static_cast<float>(batch_norm_attrs(a.ops).eps),
            pointer<float>(a.out[0]), pointer<float>(a.out[1]), pointer<float>(a.out[2]));
}
void batch_norm_sums(const Args& a) { sums<false>(a); }
void bn_relu_sums(const Args& a) { sums<true>(a); }

}  // namespace rt::cuda
