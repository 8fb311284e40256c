// Norm and control on the CPU: the norm is one pass over the gradients, bound by memory.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/update/control.hpp"
#include "kernels/update/flat_cpu.hpp"

namespace rt::cpu {

size_t grad_norm_workspace(const Problem& problem) {
  return static_cast<size_t>((problem.in[0].shape.numel() + flat_chunk - 1) / flat_chunk) * sizeof(double);
}

void grad_norm(const Args& a) {
  const float* g = a.in[0].as<float>();
  const int64_t n = a.in[0].numel(), chunks = (n + flat_chunk - 1) / flat_chunk;
  double* sum = static_cast<double*>(a.workspace);
#pragma omp parallel for schedule(static)
  for (int64_t c = 0; c < chunks; ++c) {
    double lanes[16] = {};
    const int64_t end = std::min(n, (c + 1) * flat_chunk);
    int64_t i = c * flat_chunk;
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
  const double largest = clip_norm_of(a.ops), length = static_cast<double>(norm);
  const float clip = largest > 0 ? static_cast<float>(std::min(1.0, largest / (length + 1e-6))) : 1.0f;
  float* out = a.out[0].as<float>();
  out[0] = norm;
  out[1] = good ? 1.0f : 0.0f;
  out[2] = clip * unscale;
}

void commit(const Args& a) {
  const bool good = update_happens(a.in[2]);
  std::memcpy(a.out[good ? 1 : 0].data, a.out[good ? 0 : 1].data, a.out[0].spec.bytes());
}

namespace reference {

void loss_scale(const Args& a) { a.out[0].as<float>()[0] = a.in[0].as<float>()[0] * a.in[1].as<float>()[0]; }

void weights_round(const Args& a) {
  const float* w = a.in[0].as<float>();
#pragma omp parallel for schedule(static)
  for (int64_t begin = 0; begin < a.out[0].numel(); begin += flat_chunk)
    round_part(a.out[0], w, begin, std::min(a.out[0].numel(), begin + flat_chunk));
}

void control_update(const Args& a) {
  const ControlAttrs& attrs = control_attrs(a.ops);
  const bool updated = update_happens(a.in[0]);
  float* control = a.out[0].as<float>();
  Control c{.scale = control[0], .good = control[1], .skipped = control[2], .stop = control[3]};
  c = next_control(c, updated, attrs.dynamic_scale, attrs.growth_interval);
  control[0] = c.scale;
  control[1] = c.good;
  control[2] = c.skipped;
  control[3] = c.stop;
  if (updated) a.out[1].as<int32_t>()[0] += 1;
}

}  // namespace reference

}  // namespace rt::cpu
