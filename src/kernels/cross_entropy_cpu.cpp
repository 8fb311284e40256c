// The CPU's cross-entropy: a few thousand logits, so one pass in f64 is both the reference and fast enough.
#include <cmath>

#include "core/op.hpp"
#include "kernels/cross_entropy.hpp"
#include "kernels/reference.hpp"

namespace rt::cpu::reference {

void cross_entropy_forward(const Args& a) {
  const int64_t n = a.in[0].shape()[0], k = a.in[0].shape()[1];
  const double smoothing = label_smoothing_of(a.op);
  with_type(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    using F = Computed<T>;
    const int32_t* labels = a.in[1].as<int32_t>();
    F* lse = a.out[1].as<F>();
    double total = 0;
    int32_t top1 = 0, top5 = 0;
    for (int64_t i = 0; i < n; ++i) {
      const T* z = a.in[0].as<T>() + i * k;
      const int32_t label = labels[i];
      RT_CHECK(label >= 0 && label < k, "cross_entropy: label {} is outside 0..{}", label, k - 1);
      double largest = -INFINITY, mean = 0, sum = 0;
      for (int64_t j = 0; j < k; ++j) {
        largest = std::fmax(largest, static_cast<double>(z[j]));
        mean += static_cast<double>(z[j]);
      }
      mean /= static_cast<double>(k);
      int rank = 0;
      for (int64_t j = 0; j < k; ++j) {
        sum += std::exp(static_cast<double>(z[j]) - largest);
        rank += !(z[j] < z[label] || (z[j] == z[label] && j >= label));  // a NaN outranks everything
      }
      const double log_sum = largest + std::log(sum);
      lse[i] = static_cast<F>(log_sum);
      total += log_sum - (1 - smoothing) * static_cast<double>(z[label]) - smoothing * mean;
      top1 += rank < 1;
      top5 += rank < 5;
    }
    a.out[0].as<F>()[0] = static_cast<F>(total / static_cast<double>(n));
    a.out[2].as<int32_t>()[0] = top1;
    a.out[2].as<int32_t>()[1] = top5;
  });
}

void cross_entropy_backward(const Args& a) {
  const int64_t n = a.in[0].shape()[0], k = a.in[0].shape()[1];
  const double smoothing = label_smoothing_of(a.op);
  with_type(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    using F = Computed<T>;
    const double scale = static_cast<double>(a.in[3].as<F>()[0]) / static_cast<double>(n);
    for (int64_t i = 0; i < n; ++i) {
      const T* z = a.in[0].as<T>() + i * k;
      T* dz = a.out[0].as<T>() + i * k;
      for (int64_t j = 0; j < k; ++j) {
        const double softmax = std::exp(static_cast<double>(z[j]) - static_cast<double>(a.in[2].as<F>()[i]));
        const double target =
            (j == a.in[1].as<int32_t>()[i] ? 1 - smoothing : 0.0) + smoothing / static_cast<double>(k);
        dz[j] = static_cast<T>(scale * (softmax - target));
      }
    }
  });
}

}  // namespace rt::cpu::reference
