// SGD on the GPU, for all parameters at once: fused, one pass that writes weights, momentum and the half-precision
// copy. Whether the update happens is read on the device: no host is asked.
#include "kernels/cuda/cuda.hpp"
#include "kernels/update/sgd.hpp"

namespace rt::cuda {
namespace {

constexpr int threads = 256;
using Four = Pack<float, 4>;

struct Sgd {  // its multiply-adds are written out: fused or not, the same bits
  float momentum, weight_decay;
  bool nesterov;
  int64_t decayed;

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
  const float factor = norm[2];
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
__global__ void update_all(int64_t n, Sgd s, const float* grads, const float* lr, const float* norm, float* weights,
                           float* momentum, int64_t copied, T* compute) {
  const bool happens = norm[1] != 0.0f;
  const float factor = norm[2], rate = lr[0];
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

Sgd sgd_of(Ops ops) {
  const SgdAttrs& s = sgd_attrs(ops);
  return {.momentum = static_cast<float>(s.momentum),
          .weight_decay = static_cast<float>(s.weight_decay),
          .nesterov = s.nesterov,
          .decayed = s.decayed};
}

}  // namespace

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

}  // namespace rt::cuda
