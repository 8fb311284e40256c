// Batch normalisation's element-wise passes, plain and fused, from one kernel: each thread computes what it needs of
// its channels once and keeps it in registers. It reads all of a unit before it writes any, so out[0] may be the memory
// of any input.
#include "kernels/batch_norm/batch_norm.hpp"
#include "kernels/batch_norm/channel_walk.hpp"

namespace rt::cuda {
namespace {

constexpr int elementwise_blocks = 1024;  // enough to fill a large card, few enough that channels are read seldom

// y = [relu](scale*x + shift [+ skip])
template <class T, bool relu, bool add>
struct Apply {
  const T *x, *skip;
  T* y;
  const float *mean, *rstd, *gamma, *beta;

  struct Channel {
    float scale, shift;
  };
  __device__ Channel channel(int c) const {
    const float scale = rstd[c] * gamma[c];
    return {scale, beta[c] - mean[c] * scale};
  }
  template <int width>
  struct Unit {
    Pack<T, width> x, skip;
  };
  template <int width>
  __device__ Unit<width> load(int64_t at) const {
    using P = Pack<T, width>;
    Unit<width> u;
    u.x = *reinterpret_cast<const P*>(x + at);
    if (add) u.skip = *reinterpret_cast<const P*>(skip + at);
    return u;
  }
  template <int width, int channels>
  __device__ void store(int64_t at, Unit<width> u, const Channel (&channel)[channels]) const {
    for (int j = 0; j < width; ++j) {
      const Channel& c = channel[j % channels];
      float v = to_float(u.x.v[j]) * c.scale + c.shift;
      if (add) v += to_float(u.skip.v[j]);
      u.x.v[j] = from_float<T>(relu && !(v > 0) ? (v != v ? v : 0.0f) : v);  // a NaN stays one
    }
    *reinterpret_cast<Pack<T, width>*>(y + at) = u.x;
  }
};

// dx = gamma*rstd * (d - dbeta/m - (x-mean)*rstd*dgamma/m), d = dy [where y > 0]; the skip connection gets d itself
template <class T, bool masked, bool add>
struct Dx {
  const T *dy, *y, *x;
  T *dx, *dskip;
  const float *mean, *rstd, *gamma, *dgamma, *dbeta;
  float m;

  struct Channel {
    float scale, mean_dy, slope, mean;
  };
  __device__ Channel channel(int c) const {
    return {gamma[c] * rstd[c], dbeta[c] / m, rstd[c] * dgamma[c] / m, mean[c]};
  }
  template <int width>
  using Unit = MaskedUnit<T, width>;
  template <int width>
  __device__ Unit<width> load(int64_t at) const {
    return load_masked<masked, T, width>(dy, y, x, at);
  }
  template <int width, int channels>
  __device__ void store(int64_t at, Unit<width> u, const Channel (&channel)[channels]) const {
    for (int j = 0; j < width; ++j) {
      const Channel& c = channel[j % channels];
      const float d = masked && !(to_float(u.y.v[j]) > 0) ? 0.0f : to_float(u.dy.v[j]);
      u.dy.v[j] = from_float<T>(d);
      u.x.v[j] = from_float<T>(c.scale * ((d - c.mean_dy) - (to_float(u.x.v[j]) - c.mean) * c.slope));
    }
    if (add) *reinterpret_cast<Pack<T, width>*>(dskip + at) = u.dy;
    *reinterpret_cast<Pack<T, width>*>(dx + at) = u.x;
  }
};

template <class Op, class W>
__global__ __launch_bounds__(walk_threads, 3) void each_unit(Chunks chunks, Op op) {
  const W walk(chunks);
  if (!walk.inside()) return;
  typename Op::Channel channel[W::channels];
  for (int j = 0; j < W::channels; ++j) channel[j] = op.channel(walk.channel + j);
  walk.template each<2>([&](const auto& at) {
    constexpr int k = static_cast<int>(std::extent_v<std::remove_reference_t<decltype(at)>>);
    typename Op::template Unit<W::width> u[k];
    for (int i = 0; i < k; ++i) u[i] = op.template load<W::width>(at[i]);
    for (int i = 0; i < k; ++i) op.template store<W::width>(at[i], u[i], channel);
  });
}

template <class T, class Op>
void run(const Args& a, const Op& op) {
  const Spec& x = a.in[0].spec;
  with_walk<T>(x, [&](auto tag) {
    using W = typename decltype(tag)::type;
    const Chunks chunks = W::cut(x, elementwise_blocks);
    RT_LAUNCH((each_unit<Op, W>), chunks.grid(), walk_threads, 0, a.stream, chunks, op);
  });
}

template <bool relu, bool add>
void apply(const Args& a) {
  with_type(a.in[0].spec.dtype, [&](auto zero) {
    using T = decltype(zero);
    run<T>(a, Apply<T, relu, add>{.x = pointer<T>(a.input("x")),
                                  .skip = add ? pointer<T>(a.input("skip")) : nullptr,
                                  .y = pointer<T>(a.output("y")),
                                  .mean = pointer<float>(a.input("mean")),
                                  .rstd = pointer<float>(a.input("rstd")),
                                  .gamma = pointer<float>(a.input("gamma")),
                                  .beta = pointer<float>(a.input("beta"))});
  });
}

template <bool masked, bool add>
void dx(const Args& a) {
  with_type(a.in[0].spec.dtype, [&](auto zero) {
    using T = decltype(zero);
    const Shape& s = a.in[0].shape();
    run<T>(a, Dx<T, masked, add>{.dy = pointer<T>(a.input("dy")),
                                 .y = pointer<T>(a.input(masked ? "y" : "dy")),
                                 .x = pointer<T>(a.input("x")),
                                 .dx = pointer<T>(a.output("dx")),
                                 .dskip = add ? pointer<T>(a.output("dskip")) : nullptr,
                                 .mean = pointer<float>(a.input("mean")),
                                 .rstd = pointer<float>(a.input("rstd")),
                                 .gamma = pointer<float>(a.input("gamma")),
                                 .dgamma = pointer<float>(a.input("dgamma")),
                                 .dbeta = pointer<float>(a.input("dbeta")),
                                 .m = static_cast<float>(s.n() * s.h() * s.w())});
  });
}

// What has one value per channel.
constexpr int most_statistics = 128;  // of a launch: its arguments are 4 KB at most
// Mean and var of one layer after the other; the blocks of one y for each.
struct Statistics {
  int channels[most_statistics];
  const float* fresh[most_statistics];
  float* running[most_statistics];
};
__global__ void update_running(float momentum, Statistics all) {
  const int c = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (c >= all.channels[blockIdx.y]) return;
  float* running = all.running[blockIdx.y];
  running[c] = (1 - momentum) * running[c] + momentum * all.fresh[blockIdx.y][c];
}
__global__ void running(int n, float eps, const float* running_mean, const float* running_var, float* mean,
                        float* rstd) {
  const int c = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (c >= n) return;
  mean[c] = running_mean[c];
  rstd[c] = 1.0f / sqrtf(running_var[c] + eps);
}

}  // namespace

void batch_norm_apply(const Args& a) { apply<false, false>(a); }
void bn_relu_apply(const Args& a) { apply<true, false>(a); }
void bn_add_relu_apply(const Args& a) { apply<true, true>(a); }
void batch_norm_dx(const Args& a) { dx<false, false>(a); }
void bn_relu_dx(const Args& a) { dx<true, false>(a); }
void bn_add_relu_dx(const Args& a) { dx<true, true>(a); }

void batch_norm_update_running(const Args& a) {
  for (size_t first = 0; first < a.out.size(); first += most_statistics) {
    const size_t count = std::min<size_t>(most_statistics, a.out.size() - first);
    Statistics all;
    int most = 0;
    for (size_t k = 0; k < count; ++k) {
      const size_t out = first + k, in = out / 2 * 4 + out % 2;
      all.channels[k] = static_cast<int>(a.out[out].numel());
      all.fresh[k] = pointer<float>(a.in[in]);
      all.running[k] = pointer<float>(a.out[out]);
      most = std::max(most, all.channels[k]);
    }
    RT_LAUNCH(update_running, dim3(static_cast<unsigned>(ceil_div(most, walk_threads)), static_cast<unsigned>(count)),
              walk_threads, 0, a.stream, static_cast<float>(batch_norm_attrs(a.ops).momentum), all);
  }
}
void batch_norm_running(const Args& a) {
  const int n = static_cast<int>(a.in[0].numel());
  RT_LAUNCH(running, static_cast<unsigned>(ceil_div(n, walk_threads)), walk_threads, 0, a.stream, n,
            static_cast<float>(batch_norm_attrs(a.ops).eps), pointer<float>(a.in[0]), pointer<float>(a.in[1]),
            pointer<float>(a.out[0]), pointer<float>(a.out[1]));
}

}  // namespace rt::cuda
