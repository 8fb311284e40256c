// SGD on the CPU: bound by memory, fused one pass.
#include <algorithm>

#include "kernels/update/flat_cpu.hpp"
#include "kernels/update/sgd.hpp"

namespace rt::cpu {

void sgd_update(const Args& a) {
  const SgdAttrs& s = sgd_attrs(a.ops);
  const float* g = a.in[1].as<float>();
  const float lr = a.in[3].as<float>()[0], mu = static_cast<float>(s.momentum), factor = gradient_factor(a.in[4]);
  float *w = a.out[0].as<float>(), *v = a.out[1].as<float>();
  const int64_t all = a.out[0].numel(), n = update_happens(a.in[4]) ? all : 0;
  const View* compute = a.out.size() > 2 ? &a.out[2] : nullptr;
#pragma omp parallel for schedule(static)
  for (int64_t begin = 0; begin < all; begin += flat_chunk) {
    const int64_t end = std::min(n, begin + flat_chunk);
    for (int64_t i = begin; i < end; ++i) {
      const float decay = i < s.decayed ? static_cast<float>(s.weight_decay) : 0.0f;
      const float grad = factor * g[i] + decay * w[i];
      v[i] = mu * v[i] + grad;
      w[i] -= lr * (s.nesterov ? grad + mu * v[i] : v[i]);
    }
    // The chunk is still in cache.
    if (compute) round_part(*compute, w, begin, std::min(compute->numel(), begin + flat_chunk));
  }
}

namespace reference {

void sgd_gradient(const Args& a) {
  const SgdAttrs& s = sgd_attrs(a.ops);
  const float *w = a.in[0].as<float>(), *grads = a.in[1].as<float>(), factor = gradient_factor(a.in[2]);
  float* g = a.out[0].as<float>();
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < a.out[0].numel(); ++i)
    g[i] = factor * grads[i] + (i < s.decayed ? static_cast<float>(s.weight_decay) : 0.0f) * w[i];
}

void sgd_momentum(const Args& a) {
  if (!update_happens(a.in[2])) return;
  const float *g = a.in[1].as<float>(), mu = static_cast<float>(sgd_attrs(a.ops).momentum);
  float* v = a.out[0].as<float>();
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < a.out[0].numel(); ++i) v[i] = mu * v[i] + g[i];
}

void sgd_apply(const Args& a) {
  if (!update_happens(a.in[4])) return;
  const SgdAttrs& s = sgd_attrs(a.ops);
  const float *g = a.in[1].as<float>(), *v = a.in[2].as<float>();
  const float lr = a.in[3].as<float>()[0], mu = static_cast<float>(s.momentum);
  float* w = a.out[0].as<float>();
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < a.out[0].numel(); ++i) w[i] -= lr * (s.nesterov ? g[i] + mu * v[i] : v[i]);
}

}  // namespace reference

}  // namespace rt::cpu
