// The update on the CPU: bound by memory, one pass for the norm and one for everything else.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/op.hpp"
#include "kernels/reference.hpp"
#include "kernels/update.hpp"

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
void round_to(const View& half, const float* from, int64_t begin, int64_t end) {
  with_type(half, [&](auto zero) {
    using T = decltype(zero);
    T* to = half.as<T>();
    for (int64_t i = begin; i < end; ++i) to[i] = static_cast<T>(from[i]);
  });
}
}  // namespace

void sgd_update(const Args& a) {
  const SgdAttrs& s = sgd_attrs(a.op);
  const float norm = a.in[4].as<float>()[0], unscale = a.in[4].as<float>()[2];
  const float* g = a.in[1].as<float>();
  const float lr = a.in[3].as<float>()[0], mu = static_cast<float>(s.momentum);
  const float clip =
      s.clip_norm > 0 ? static_cast<float>(std::min(1.0, s.clip_norm / (static_cast<double>(norm) + 1e-6))) : 1.0f;
  const float factor = clip * unscale;
  float *w = a.out[0].as<float>(), *v = a.out[1].as<float>();
  const int64_t n = a.in[4].as<float>()[1] == 0.0f ? 0 : a.out[0].numel();
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
  const bool good = a.in[2].as<float>()[1] != 0.0f;
  std::memcpy(a.out[good ? 1 : 0].data, a.out[good ? 0 : 1].data, a.out[0].spec.bytes());
}

namespace reference {

void control_update(const Args& a) {
  const SgdAttrs& s = sgd_attrs(a.op);
  float* control = a.out[0].as<float>();
  const Control next = next_control({control[0], control[1], control[2], control[3]}, a.in[0].as<float>()[1] != 0.0f,
                                    s.dynamic_scale, s.growth_interval);
  control[0] = next.scale, control[1] = next.good, control[2] = next.skipped, control[3] = next.stop;
}

void loss_scale(const Args& a) { a.out[0].as<float>()[0] = a.in[0].as<float>()[0] * a.in[1].as<float>()[0]; }

}  // namespace reference

}  // namespace rt::cpu
