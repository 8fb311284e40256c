// Cross-entropy on the GPU: a warp per sample, which goes on to its gradient where the step has both, then one block
// adds the samples' losses and counts in a fixed order. The loss of a sample is formed relative to its largest logit:
// the difference of two large numbers is never taken.
#include "kernels/cross_entropy/cross_entropy.hpp"
#include "kernels/cuda/block_sum.hpp"
#include "kernels/cuda/cuda.hpp"

namespace rt::cuda {
namespace {

constexpr int threads = 256, samples_per_block = threads / 32;

struct SampleResult {
  float loss;
  int rank;  // how many logits rank above the label's
};

__device__ float warp_max(float x) {
  for (int lanes = 16; lanes > 0; lanes /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, lanes));
  return x;
}

struct Gradient {  // of the mean loss by one logit
  float scale, of_label, of_all;
  __device__ Gradient(int64_t n, int k, float smoothing, float dloss)
      : scale(dloss / static_cast<float>(n)), of_label(1 - smoothing), of_all(smoothing / static_cast<float>(k)) {}
  __device__ float at(float logit, float lse, bool is_label) const {
    return scale * (expf(logit - lse) - ((is_label ? of_label : 0.0f) + of_all));
  }
};

// dloss and dlogits are null where only the loss is asked for, lse where nothing reads it.
template <class T>
__global__ void loss_of_samples(int64_t n, int k, float smoothing, const T* logits, const int32_t* labels, float* lse,
                                SampleResult* results, const float* dloss, T* dlogits) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t mine = int64_t{blockIdx.x} * samples_per_block + threadIdx.x / 32;
  const int64_t i = mine < n ? mine : n - 1;  // a warp without a sample still takes part in the shuffles
  const T* z = logits + i * k;
  const int label = labels[i];
  // A label that is none of the classes makes the loss a NaN, which stops the run; here nobody can throw.
  const float at_label = label >= 0 && label < k ? to_float(z[label]) : NAN;
  float largest = -INFINITY;
  for (int j = lane; j < k; j += 32) largest = fmaxf(largest, to_float(z[j]));
  largest = warp_max(largest);
  float exponentials = 0, above = 0;
  int rank = 0;
  for (int j = lane; j < k; j += 32) {
    const float x = to_float(z[j]);
    exponentials += expf(x - largest);
    above += x - largest;
    rank += !(x < at_label || (x == at_label && j >= label));  // a NaN outranks everything
  }
  exponentials = warp_sum(exponentials);
  above = warp_sum(above);
  rank = warp_sum(rank);
  if (mine >= n) return;
  const float log_sum = logf(exponentials), log_sum_exp = largest + log_sum;
  if (dlogits) {
    const Gradient gradient(n, k, smoothing, dloss[0]);
    for (int j = lane; j < k; j += 32)
      dlogits[i * k + j] = from_float<T>(gradient.at(to_float(z[j]), log_sum_exp, j == label));
  }
  if (lane != 0) return;
  if (lse) lse[i] = log_sum_exp;
  results[i] = {log_sum - (1 - smoothing) * (at_label - largest) - smoothing * above / static_cast<float>(k), rank};
}

__global__ void mean_loss(int64_t n, const SampleResult* results, float* loss, int32_t* correct) {
  float sum = 0;
  int top1 = 0, top5 = 0;
  for (int64_t i = threadIdx.x; i < n; i += threads) {
    const SampleResult r = results[i];
    sum += r.loss;
    top1 += r.rank < 1;
    top5 += r.rank < 5;
  }
  sum = block_sum<threads>(sum);
  top1 = block_sum<threads>(top1);
  top5 = block_sum<threads>(top5);
  if (threadIdx.x != 0) return;
  loss[0] = sum / static_cast<float>(n);
  correct[0] = top1;
  correct[1] = top5;
}

template <class T>
__global__ void logit_gradients(int64_t n, int k, float smoothing, const T* logits, const int32_t* labels,
                                const float* lse, const float* dloss, T* dlogits) {
  const Gradient gradient(n, k, smoothing, dloss[0]);
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t at = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; at < n * k; at += step) {
    const int64_t i = at / k;
    dlogits[at] = from_float<T>(gradient.at(to_float(logits[at]), lse[i], at - i * k == labels[i]));
  }
}

void losses(const Args& a, const View& loss, const View& lse, const View& correct, const View& dloss,
            const View& dlogits) {
  const int64_t n = a.in[0].shape()[0], k = a.in[0].shape()[1];
  auto* results = static_cast<SampleResult*>(a.workspace);
  with_type(a.in[0].spec.dtype, [&](auto zero) {
    using T = decltype(zero);
    RT_LAUNCH((loss_of_samples<T>), static_cast<unsigned>(ceil_div(n, samples_per_block)), threads, 0, a.stream, n,
              static_cast<int>(k), static_cast<float>(label_smoothing_of(a.ops)), pointer<T>(a.in[0]),
              pointer<int32_t>(a.in[1]), pointer<float>(lse), results, pointer<float>(dloss), pointer<T>(dlogits));
  });
  RT_LAUNCH(mean_loss, 1, threads, 0, a.stream, n, results, pointer<float>(loss), pointer<int32_t>(correct));
}

}  // namespace

size_t cross_entropy_workspace(const Problem& problem) {
  return static_cast<size_t>(problem.in[0].shape[0]) * sizeof(SampleResult);
}

void cross_entropy_forward(const Args& a) { losses(a, a.out[0], a.out[1], a.out[2], {}, {}); }

void cross_entropy_with_gradient(const Args& a) {
  losses(a, a.output("loss"), {}, a.output("correct"), a.input("dloss"), a.output("dlogits"));
}

void cross_entropy_backward(const Args& a) {
  const int64_t n = a.in[0].shape()[0], k = a.in[0].shape()[1];
  with_type(a.in[0].spec.dtype, [&](auto zero) {
    using T = decltype(zero);
    RT_LAUNCH((logit_gradients<T>), blocks_for(n * k, threads), threads, 0, a.stream, n, static_cast<int>(k),
              static_cast<float>(label_smoothing_of(a.ops)), pointer<T>(a.in[0]), pointer<int32_t>(a.in[1]),
              pointer<float>(a.in[2]), pointer<float>(a.in[3]), pointer<T>(a.out[0]));
  });
}

}  // namespace rt::cuda
