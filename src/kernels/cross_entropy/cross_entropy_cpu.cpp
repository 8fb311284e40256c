// The CPU's cross-entropy: a few thousand logits, so one pass in f64 is both the reference and fast enough.
#include <cmath>

#include "core/op.hpp"
#include "kernels/cross_entropy/cross_entropy.hpp"
#include "kernels/reference.hpp"

namespace rt::cpu::reference {
namespace {

// One sample's logits z [k].
template <class T>
struct Sample {
  const T* z;
  int64_t k;
  int32_t label;
  double smoothing;

  struct Loss {
    double loss, lse;
    int rank;  // how many logits rank above the label's
  };
  Loss loss() const {
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
    const double lse = largest + std::log(sum);
    return {lse - (1 - smoothing) * static_cast<double>(z[label]) - smoothing * mean, lse, rank};
  }
  void gradient(double lse, double scale, T* dz) const {
    for (int64_t j = 0; j < k; ++j) {
      const double softmax = std::exp(static_cast<double>(z[j]) - lse);
      const double target = (j == label ? 1 - smoothing : 0.0) + smoothing / static_cast<double>(k);
      dz[j] = static_cast<T>(scale * (softmax - target));
    }
  }
};

// Both in one pass over the samples; lse, or dlogits with dloss, are null where they are not asked for.
template <class T>
void losses(const Args& a, Computed<T>* loss, Computed<T>* lse, int32_t* correct, const Computed<T>* dloss,
            T* dlogits) {
  const int64_t n = a.in[0].shape()[0], k = a.in[0].shape()[1];
  double total = 0;
  correct[0] = correct[1] = 0;
  for (int64_t i = 0; i < n; ++i) {
    const Sample<T> sample{a.in[0].as<T>() + i * k, k, a.in[1].as<int32_t>()[i], label_smoothing_of(a.ops)};
    const auto s = sample.loss();
    const auto rounded = static_cast<Computed<T>>(s.lse);  // as it is stored between the two steps
    if (lse) lse[i] = rounded;
    if (dlogits)
      sample.gradient(static_cast<double>(rounded), static_cast<double>(*dloss) / static_cast<double>(n),
                      dlogits + i * k);
    total += s.loss;
    correct[0] += s.rank < 1, correct[1] += s.rank < 5;
  }
  *loss = static_cast<Computed<T>>(total / static_cast<double>(n));
}

}  // namespace

void cross_entropy_forward(const Args& a) {
  with_type(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    using F = Computed<T>;
    losses<T>(a, a.out[0].as<F>(), a.out[1].as<F>(), a.out[2].as<int32_t>(), nullptr, nullptr);
  });
}

void cross_entropy_backward(const Args& a) {
  const int64_t n = a.in[0].shape()[0], k = a.in[0].shape()[1];
  with_type(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    using F = Computed<T>;
    const double scale = static_cast<double>(a.in[3].as<F>()[0]) / static_cast<double>(n);
    for (int64_t i = 0; i < n; ++i) {
      const Sample<T> sample{a.in[0].as<T>() + i * k, k, a.in[1].as<int32_t>()[i], label_smoothing_of(a.ops)};
      sample.gradient(static_cast<double>(a.in[2].as<F>()[i]), scale, a.out[0].as<T>() + i * k);
    }
  });
}

void cross_entropy_with_gradient(const Args& a) {
  with_type(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    using F = Computed<T>;
    losses<T>(a, a.output("loss").as<F>(), nullptr, a.output("correct").as<int32_t>(), a.input("dloss").as<F>(),
              a.output("dlogits").as<T>());
  });
}

}  // namespace rt::cpu::reference
