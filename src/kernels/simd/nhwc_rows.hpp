// Rows made of the vector kernels: values in f32 or bf16, what belongs to a channel f32; what is 4-d must be NHWC, but for the
// element-wise ones. Each is a template over the kernels of one instruction set; table.cpp lists one row for each.
#pragma once
#include <cmath>
#include <string>
#include <type_traits>
#include <utility>

#include "core/step.hpp"
#include "kernels/batch_norm/batch_norm_simd.hpp"
#include "kernels/elementwise/elementwise_simd.hpp"
#include "kernels/pool/pool_simd.hpp"

namespace rt::cpu {

std::string refuse_all_but_f32_bf16(const Problem& problem);
std::string refuse_all_but_f32_bf16_nhwc(const Problem& problem);

size_t batch_norm_workspace(const Problem& problem);  // enough for any of the steps below

// What a batch norm multiplies and adds, by channel.
struct BatchNormOf {
  const float *mean = nullptr, *rstd = nullptr, *gamma = nullptr, *beta = nullptr, *dgamma = nullptr, *dbeta = nullptr;
  // apply is x * scale + shift; without beta shift is of no use
  void affine(int64_t channels, float* scale, float* shift) const {
    for (int64_t c = 0; c < channels; ++c) {
      scale[c] = rstd[c] * gamma[c];
      shift[c] = (beta ? beta[c] : 0.0f) - mean[c] * scale[c];
    }
  }
  // dx is scale * ((d - mean_dy) - (x - mean) * slope), scale as above, d of `count` values a channel
  void slopes(int64_t channels, float count, float* mean_dy, float* slope) const {
    for (int64_t c = 0; c < channels; ++c) {
      mean_dy[c] = dbeta[c] / count;
      slope[c] = rstd[c] * dgamma[c] / count;
    }
  }
};

// What the reductions give: batch_norm.stats of a channel, from the mean of `count` values and the sum of their squared distances
// from it,
struct BatchNormStats {
  float *mean = nullptr, *rstd = nullptr, *var = nullptr;
  double eps = 0;
  void set(int64_t c, double of_all, double m2, double count) const {
    mean[c] = static_cast<float>(of_all);
    rstd[c] = static_cast<float>(1 / std::sqrt(m2 / count + eps));
    var[c] = static_cast<float>(m2 / (count - 1));
  }
};
// and batch_norm.sums, from sums over `parts` parts of the rows, of d [C] and of d * (x - mean) [C], which are added in order.
struct BatchNormSums {
  const float* rstd = nullptr;
  float *dgamma = nullptr, *dbeta = nullptr;
  void set(double* sums, int64_t parts, int64_t channels) const {
    for (int64_t part = 1; part < parts; ++part)
      for (int64_t i = 0; i < 2 * channels; ++i) sums[i] += sums[part * 2 * channels + i];
    for (int64_t c = 0; c < channels; ++c) {
      dgamma[c] = static_cast<float>(sums[channels + c] * static_cast<double>(rstd[c]));
      dbeta[c] = static_cast<float>(sums[c]);
    }
  }
};

template <const BatchNormKernels& kernels>
struct BatchNormRows {
  static void stats(const Args& a);
  static void apply(const Args& a);
  static void relu_apply(const Args& a);  // with a skip connection too: the number of inputs tells
  static void sums(const Args& a);        // with a mask too
  static void dx(const Args& a);          // with a mask and dskip too
  static void dx_by_x(const Args& a);     // the mask follows from x
};

template <const ElementwiseKernels& kernels>
struct ElementwiseRows {
  static void relu_forward(const Args& a);
  static void relu_backward(const Args& a);
  static void add(const Args& a);
};

template <const PoolKernels& kernels>
struct PoolRows {
  static void max_forward(const Args& a);
  static void max_backward(const Args& a);
  static void avg_forward(const Args& a);
  static void avg_backward(const Args& a);
};

// with_storage(view, [&](auto zero) { using T = decltype(zero); ... kernels_of<T>(kernels).add(...) }), T = float or bf16.
template <class F>
auto with_storage(const Spec& spec, F&& f) {
  if (spec.dtype == DType::bf16) return f(bf16{});
  return f(float{});
}
template <class F>
auto with_storage(const View& view, F&& f) {
  return with_storage(view.spec, std::forward<F>(f));
}
template <class T, class Kernels>
const auto& kernels_of(const Kernels& kernels) {
  if constexpr (std::is_same_v<T, bf16>)
    return kernels.of_bf16;
  else
    return kernels.of_f32;
}

constexpr int64_t min_parallel = 1 << 15;  // elements; below, waking the threads costs more than it saves

// Whether out[i] is so large and so new that it is best written past the caches. Does not change a bit of it.
bool streams(const Args& a, size_t i);

// One line at the end of each file that defines rows.
#if RT_HAVE_AVX512
#define RT_FOR_EACH_ISA(Rows, kernels)         \
  template struct Rows<::rt::avx512::kernels>; \
  template struct Rows<::rt::avx2::kernels>;   \
  template struct Rows<::rt::baseline::kernels>;
#else
#define RT_FOR_EACH_ISA(Rows, kernels) template struct Rows<::rt::baseline::kernels>;
#endif

}  // namespace rt::cpu
