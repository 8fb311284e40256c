// Norm and control on the GPU: a norm in chunks of a fixed size, and what follows from it, decided on the device.
#include "kernels/cuda/block_sum.hpp"
#include "kernels/cuda/cuda.hpp"
#include "kernels/update/control.hpp"

namespace rt::cuda {
namespace {

constexpr int threads = 256, packs_per_thread = 4;
using Four = Pack<float, 4>;
constexpr int64_t chunk = int64_t{threads} * packs_per_thread * 4;  // gradients per block

// In f32 within a thread (16 numbers), in f64 from there on. Scaled first: a square must not overflow where the
// unscaled gradient's does not.
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
                               float clip_norm, float* norm) {
  double sum = 0;
  for (int64_t c = threadIdx.x; c < chunks; c += threads) sum += sums[c];
  const double total = block_sum<threads>(sum);
  if (threadIdx.x != 0) return;
  const float length = static_cast<float>(sqrt(total));
  const float clip = clip_norm > 0 ? fminf(1.0f, clip_norm / (length + 1e-6f)) : 1.0f;
  norm[0] = length;
  norm[1] = fabsf(length) < INFINITY && fabsf(loss[0]) < INFINITY && control[3] == 0.0f ? 1.0f : 0.0f;
  norm[2] = clip * (1.0f / control[0]);
}

template <class T>
__global__ void round_all(int64_t n, const float* weights, T* compute) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += step)
    compute[i] = from_float<T>(weights[i]);
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

__global__ void update_control(const float* norm, bool dynamic, int growth_interval, Control* control, int* updates) {
  if (threadIdx.x != 0) return;
  const bool updated = norm[1] != 0.0f;
  *control = next_control(*control, updated, dynamic, growth_interval);
  if (updated) *updates += 1;
}

__global__ void scale_weight(const float* weight, const Control* control, float* dloss) {
  if (threadIdx.x == 0) dloss[0] = weight[0] * control->scale;
}

Control* control_of(const View& view) { return static_cast<Control*>(view.data); }

}  // namespace

void loss_scale(const Args& a) {
  RT_LAUNCH(scale_weight, 1, 32, 0, a.stream, pointer<float>(a.in[0]), control_of(a.in[1]), pointer<float>(a.out[0]));
}

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
            static_cast<float>(clip_norm_of(a.ops)), pointer<float>(a.out[0]));
}

void weights_round(const Args& a) {
  const int64_t n = a.out[0].numel();
  with_type(a.out[0].spec.dtype, [&](auto zero) {
    using T = decltype(zero);
    RT_LAUNCH((round_all<T>), blocks_for(n, threads), threads, 0, a.stream, n, pointer<float>(a.in[0]),
              pointer<T>(a.out[0]));
  });
}

void commit(const Args& a) {
  const int64_t n = a.out[0].numel();
  RT_LAUNCH(commit_statistics, blocks_for(n, threads), threads, 0, a.stream, n, pointer<float>(a.in[2]),
            pointer<float>(a.out[0]), pointer<float>(a.out[1]));
}

void control_update(const Args& a) {
  const ControlAttrs& attrs = control_attrs(a.ops);
  RT_LAUNCH(update_control, 1, 32, 0, a.stream, pointer<float>(a.in[0]), attrs.dynamic_scale, attrs.growth_interval,
            control_of(a.out[0]), pointer<int>(a.out[1]));
}

}  // namespace rt::cuda
