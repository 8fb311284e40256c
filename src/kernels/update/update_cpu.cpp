// The update on the CPU: bound by memory, one pass for the norm and one (fused) for everything else.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/op.hpp"
#include "kernels/reference.hpp"
#include "kernels/update/update.hpp"

namespace rt::cpu {

// The norm is summed by chunks of a fixed size, added in order: it does not depend on the thread count.
constexpr int64_t chunk = 1 << 14;

size_t grad_norm_workspace(const Problem& problem) {
  return static_cast<size_t>((problem.in[0].shape.numel() + chunk - 1) / chunk) * sizeof(double);
}

void grad_norm(const Args& a) {
  const float* g = a.in[0].as<float>();
  const int64_t n = a.in[0].numel(), chunks = (n + chunk - 1) / chunk;
  double* sum = static_cast<double*>(a.workspace);
#pragma omp parallel for schedule(static)
  for (int64_t c = 0; c < chunks; ++c) {
    double lanes[16] = {};
    const int64_t end = std::min(n, (c + 1) * chunk);
    int64_t i = c * chunk;
    for (; i + 16 <= end; i += 16)
      for (int64_t j = 0; j < 16; ++j) lanes[j] += static_cast<double>(g[i + j]) * static_cast<double>(g[i + j]);
    for (; i < end; ++i) lanes[0] += static_cast<double>(g[i]) * static_cast<double>(g[i]);
    double s = 0;
    for (double lane : lanes) s += lane;
    sum[c] = s;
  }
  double total = 0;
  for (int64_t c = 0; c < chunks; ++c) total += sum[c];
  const float* control = a.in[2].as<float>();
  const float unscale = 1.0f / control[0], norm = static_cast<float>(std::sqrt(total) * static_cast<double>(unscale));
  const bool good = std::isfinite(norm) && std::isfinite(a.in[1].as<float>()[0]) && control[3] == 0.0f;
  a.out[0].as<float>()[0] = norm;
  a.out[0].as<float>()[1] = good ? 1.0f : 0.0f;
  a.out[0].as<float>()[2] = unscale;
}

namespace {

bool happens(const View& norm) { return norm.as<float>()[1] != 0.0f; }

// What a gradient as it lies in memory is multiplied by: clipped and unscaled.
float gradient_factor(const SgdAttrs& s, const View& norm) {
  const double length = static_cast<double>(norm.as<float>()[0]);
  const float clip = s.clip_norm > 0 ? static_cast<float>(std::min(1.0, s.clip_norm / (length + 1e-6))) : 1.0f;
  return clip * norm.as<float>()[2];
}

void round_to(const View& half, const float* from, int64_t begin, int64_t end) {
  with_type(half, [&](auto zero) {
    using T = decltype(zero);
    T* to = half.as<T>();
    for (int64_t i = begin; i < end; ++i) to[i] = static_cast<T>(from[i]);
  });
}

}  // namespace

void sgd_update(const Args& a) {
  const SgdAttrs& s = sgd_attrs(a.ops);
  const float* g = a.in[1].as<float>();
  const float lr = a.in[3].as<float>()[0], mu = static_cast<float>(s.momentum), factor = gradient_factor(s, a.in[4]);
  float *w = a.out[0].as<float>(), *v = a.out[1].as<float>();
  const int64_t n = happens(a.in[4]) ? a.out[0].numel() : 0;
  const View* compute = a.out.size() > 2 ? &a.out[2] : nullptr;
  const int64_t all = a.out[0].numel();
#pragma omp parallel for schedule(static)
  for (int64_t begin = 0; begin < all; begin += chunk) {
    const int64_t end = std::min(n, begin + chunk);
    for (int64_t i = begin; i < end; ++i) {
      const float decay = i < s.decayed ? static_cast<float>(s.weight_decay) : 0.0f;
      const float grad = factor * g[i] + decay * w[i];
      v[i] = mu * v[i] + grad;
      w[i] -= lr * (s.nesterov ? grad + mu * v[i] : v[i]);
    }
    if (compute)
      round_to(*compute, w, begin, std::min(compute->numel(), begin + chunk));  // while the chunk is in cache
  }
}

void commit(const Args& a) {
  const bool good = happens(a.in[2]);
  std::memcpy(a.out[good ? 1 : 0].data, a.out[good ? 0 : 1].data, a.out[0].spec.bytes());
}

namespace reference {

void sgd_gradient(const Args& a) {
  const SgdAttrs& s = sgd_attrs(a.ops);
  const float *w = a.in[0].as<float>(), *grads = a.in[1].as<float>(), factor = gradient_factor(s, a.in[2]);
  float* g = a.out[0].as<float>();
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < a.out[0].numel(); ++i)
    g[i] = factor * grads[i] + (i < s.decayed ? static_cast<float>(s.weight_decay) : 0.0f) * w[i];
}

void sgd_momentum(const Args& a) {
  if (!happens(a.in[2])) return;
  const float *g = a.in[1].as<float>(), mu = static_cast<float>(sgd_attrs(a.ops).momentum);
  float* v = a.out[0].as<float>();
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < a.out[0].numel(); ++i) v[i] = mu * v[i] + g[i];
}

void sgd_apply(const Args& a) {
  if (!happens(a.in[4])) return;
  const SgdAttrs& s = sgd_attrs(a.ops);
  const float *g = a.in[1].as<float>(), *v = a.in[2].as<float>();
  const float lr = a.in[3].as<float>()[0], mu = static_cast<float>(s.momentum);
  float* w = a.out[0].as<float>();
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < a.out[0].numel(); ++i) w[i] -= lr * (s.nesterov ? g[i] + mu * v[i] : v[i]);
}

void sgd_round(const Args& a) {
  const float* w = a.in[0].as<float>();
#pragma omp parallel for schedule(static)
  for (int64_t begin = 0; begin < a.out[0].numel(); begin += chunk)
    round_to(a.out[0], w, begin, std::min(a.out[0].numel(), begin + chunk));
}

void control_update(const Args& a) {
  const SgdAttrs& s = sgd_attrs(a.ops);
  float* control = a.out[0].as<float>();
  const Control next = next_control({control[0], control[1], control[2], control[3]}, happens(a.in[0]), s.dynamic_scale,
                                    s.growth_interval);
  control[0] = next.scale, control[1] = next.good, control[2] = next.skipped, control[3] = next.stop;
}

void loss_scale(const Args& a) { a.out[0].as<float>()[0] = a.in[0].as<float>()[0] * a.in[1].as<float>()[0]; }

}  // namespace reference

}  // namespace rt::cpu
