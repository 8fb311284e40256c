// The update on the GPU, for all parameters at once: a norm in chunks of a fixed size, then one pass (fused) that writes
// weights, momentum and the half-precision copy. Whether it happens is read on the device: no host is asked.
#include "kernels/cuda/block_sum.hpp"
#include "kernels/cuda/cuda.hpp"
#include "kernels/update/update.hpp"

namespace rt::cuda {
namespace {

constexpr int threads = 256, packs_per_thread = 4;
using Four = Pack<float, 4>;
constexpr int64_t chunk = int64_t{threads} * packs_per_thread * 4;  // gradients per block

// In f32 within a thread (16 numbers), in f64 from there on. Scaled first: a square must not overflow where the unscaled
// gradient's does not.
__global__ void squares_of_chunks(int64_t n, const float* grads, const float* control, double* sums) {
  const float unscale = 1.0f / control[0];
  const int64_t begin = int64_t{blockIdx.x} * chunk;
  float sum = 0;
  for (int p = 0; p < packs_per_thread; ++p) {
    const int64_t i = begin + (int64_t{p} * threads + threadIdx.x) * 4;
    Four g{};
    if (i + 4 <= n)
      g = reinterpret_cast<const Four*>(grads)[i / 4];
    else
      for (int j = 0; j < 4; ++j) g.v[j] = i + j < n ? grads[i + j] : 0.0f;
    for (float x : g.v) sum += (x * unscale) * (x * unscale);
  }
  const double total = block_sum<threads>(static_cast<double>(sum));
  if (threadIdx.x == 0) sums[blockIdx.x] = total;
}

__global__ void norm_of_chunks(int64_t chunks, const double* sums, const float* loss, const float* control,
                               float* norm) {
  double sum = 0;
  for (int64_t c = threadIdx.x; c < chunks; c += threads) sum += sums[c];
  const double total = block_sum<threads>(sum);
  if (threadIdx.x != 0) return;
  const float length = static_cast<float>(sqrt(total));
  norm[0] = length;
  norm[1] = fabsf(length) < INFINITY && fabsf(loss[0]) < INFINITY && control[3] == 0.0f ? 1.0f : 0.0f;
  norm[2] = 1.0f / control[0];
}

struct Sgd {  // its multiply-adds are written out: fused or not, the same bits
  float momentum, weight_decay, clip_norm;
  bool nesterov;
  int64_t decayed;

  __device__ float factor(const float* norm) const {
    const float clip = clip_norm > 0 ? fminf(1.0f, clip_norm / (norm[0] + 1e-6f)) : 1.0f;
    return clip * norm[2];
  }
  __device__ float gradient(int64_t i, float factor, float g, float w) const {
    return fmaf(factor, g, i < decayed ? weight_decay * w : 0.0f);
  }
  __device__ float next_momentum(float v, float g) const { return fmaf(momentum, v, g); }
  __device__ float next_weight(float w, float rate, float g, float v) const {
    return fmaf(-rate, nesterov ? fmaf(momentum, v, g) : v, w);
  }
};

__global__ void gradient_of_all(int64_t n, Sgd s, const float* weights, const float* grads, const float* norm,
                                float* g) {
  const float factor = s.factor(norm);
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += step)
    g[i] = s.gradient(i, factor, grads[i], weights[i]);
}

__global__ void momentum_of_all(int64_t n, Sgd s, const float* g, const float* norm, float* momentum) {
  if (norm[1] == 0.0f) return;
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += step)
    momentum[i] = s.next_momentum(momentum[i], g[i]);
}

__global__ void apply_to_all(int64_t n, Sgd s, const float* g, const float* momentum, const float* lr,
                             const float* norm, float* weights) {
  if (norm[1] == 0.0f) return;
  const float rate = lr[0];
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += step)
    weights[i] = s.next_weight(weights[i], rate, g[i], momentum[i]);
}

template <class T>
__global__ void round_all(int64_t n, const float* weights, T* compute) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += step)
    compute[i] = from_float<T>(weights[i]);
}

template <class T>
__global__ void update_all(int64_t n, Sgd s, const float* grads, const float* lr, const float* norm, float* weights,
                           float* momentum, int64_t copied, T* compute) {
  const bool happens = norm[1] != 0.0f;
  const float factor = s.factor(norm), rate = lr[0];
  auto one = [&](int64_t i, float g, float& w, float& v) {
    const float grad = s.gradient(i, factor, g, w);
    v = s.next_momentum(v, grad);
    w = s.next_weight(w, rate, grad, v);
  };
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t p = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; p < n / 4; p += step) {
    Four w = reinterpret_cast<const Four*>(weights)[p];
    if (happens) {
      const Four g = reinterpret_cast<const Four*>(grads)[p];
      Four v = reinterpret_cast<const Four*>(momentum)[p];
      for (int j = 0; j < 4; ++j) one(4 * p + j, g.v[j], w.v[j], v.v[j]);
      reinterpret_cast<Four*>(weights)[p] = w;
      reinterpret_cast<Four*>(momentum)[p] = v;
    }
    if (4 * p + 4 <= copied) {
      Pack<T, 4> rounded;
      for (int j = 0; j < 4; ++j) rounded.v[j] = from_float<T>(w.v[j]);
      reinterpret_cast<Pack<T, 4>*>(compute)[p] = rounded;
    } else {
      for (int j = 0; j < 4; ++j)
        if (4 * p + j < copied) compute[4 * p + j] = from_float<T>(w.v[j]);
    }
  }
  if (blockIdx.x != 0 || threadIdx.x != 0) return;
  for (int64_t i = n / 4 * 4; i < n; ++i) {
    if (happens) one(i, grads[i], weights[i], momentum[i]);
    if (i < copied) compute[i] = from_float<T>(weights[i]);
  }
}

__global__ void commit_statistics(int64_t n, const float* norm, float* fresh, float* kept) {
  const bool good = norm[1] != 0.0f;
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += step) {
    if (good)
      kept[i] = fresh[i];
    else
      fresh[i] = kept[i];
  }
}

__global__ void update_control(const float* norm, bool dynamic, int growth_interval, Control* control) {
  if (threadIdx.x == 0) *control = next_control(*control, norm[1] != 0.0f, dynamic, growth_interval);
}

__global__ void scale_weight(const float* weight, const Control* control, float* dloss) {
  if (threadIdx.x == 0) dloss[0] = weight[0] * control->scale;
}

Sgd sgd_of(Ops ops) {
  const SgdAttrs& s = sgd_attrs(ops);
  return {static_cast<float>(s.momentum), static_cast<float>(s.weight_decay), static_cast<float>(s.clip_norm),
          s.nesterov, s.decayed};
}

Control* control_of(const View& view) { return static_cast<Control*>(view.data); }

}  // namespace

size_t grad_norm_workspace(const Problem& problem) {
  return static_cast<size_t>(ceil_div(problem.in[0].shape.numel(), chunk)) * sizeof(double);
}

void grad_norm(const Args& a) {
  const int64_t n = a.in[0].numel(), chunks = ceil_div(n, chunk);
  auto* sums = static_cast<double*>(a.workspace);
  const float* control = pointer<float>(a.in[2]);
  RT_LAUNCH(squares_of_chunks, static_cast<unsigned>(chunks), threads, 0, a.stream, n, pointer<float>(a.in[0]), control,
            sums);
  RT_LAUNCH(norm_of_chunks, 1, threads, 0, a.stream, chunks, sums, pointer<float>(a.in[1]), control,
            pointer<float>(a.out[0]));
}

void sgd_gradient(const Args& a) {
  const int64_t n = a.out[0].numel();
  RT_LAUNCH(gradient_of_all, blocks_for(n, threads), threads, 0, a.stream, n, sgd_of(a.ops), pointer<float>(a.in[0]),
            pointer<float>(a.in[1]), pointer<float>(a.in[2]), pointer<float>(a.out[0]));
}

void sgd_momentum(const Args& a) {
  const int64_t n = a.out[0].numel();
  RT_LAUNCH(momentum_of_all, blocks_for(n, threads), threads, 0, a.stream, n, sgd_of(a.ops), pointer<float>(a.in[1]),
            pointer<float>(a.in[2]), pointer<float>(a.out[0]));
}

void sgd_apply(const Args& a) {
  const int64_t n = a.out[0].numel();
  RT_LAUNCH(apply_to_all, blocks_for(n, threads), threads, 0, a.stream, n, sgd_of(a.ops), pointer<float>(a.in[1]),
            pointer<float>(a.in[2]), pointer<float>(a.in[3]), pointer<float>(a.in[4]), pointer<float>(a.out[0]));
}

void sgd_round(const Args& a) {
  const int64_t n = a.out[0].numel();
  with_type(a.out[0].spec.dtype, [&](auto zero) {
    using T = decltype(zero);
    RT_LAUNCH((round_all<T>), blocks_for(n, threads), threads, 0, a.stream, n, pointer<float>(a.in[0]),
              pointer<T>(a.out[0]));
  });
}

void sgd_update(const Args& a) {
  const int64_t n = a.out[0].numel();
  const bool copies = a.out.size() > 2;
  with_type(copies ? a.out[2].spec.dtype : DType::f32, [&](auto zero) {
    using T = decltype(zero);
    RT_LAUNCH((update_all<T>), blocks_for(n, threads * 4), threads, 0, a.stream, n, sgd_of(a.ops),
              pointer<float>(a.in[1]), pointer<float>(a.in[3]), pointer<float>(a.in[4]), pointer<float>(a.out[0]),
              pointer<float>(a.out[1]), copies ? a.out[2].numel() : 0, copies ? pointer<T>(a.out[2]) : nullptr);
  });
}

void commit(const Args& a) {
  const int64_t n = a.out[0].numel();
  RT_LAUNCH(commit_statistics, blocks_for(n, threads), threads, 0, a.stream, n, pointer<float>(a.in[2]),
            pointer<float>(a.out[0]), pointer<float>(a.out[1]));
}

void control_update(const Args& a) {
  const SgdAttrs& s = sgd_attrs(a.ops);
  RT_LAUNCH(update_control, 1, 32, 0, a.stream, pointer<float>(a.in[0]), s.dynamic_scale, s.growth_interval,
            control_of(a.out[0]));
}

void loss_scale(const Args& a) {
  RT_LAUNCH(scale_weight, 1, 32, 0, a.stream, pointer<float>(a.in[0]), control_of(a.in[1]), pointer<float>(a.out[0]));
}

}  // namespace rt::cuda
