// The arithmetic of a batch norm that is done once per channel, in f32: by its own rows, and by convolutions that do a
// part of its work.
#pragma once
#include <cmath>
#include <cstdint>

namespace rt::cpu {

// What a batch norm multiplies and adds, by channel.
struct BatchNormOf {
  const float *mean = nullptr, *rstd = nullptr, *gamma = nullptr, *beta = nullptr, *dgamma = nullptr, *dbeta = nullptr;

  // apply is x * scale + shift; where there is no beta, shift is of no use.
  void affine(int64_t channels, float* scale, float* shift) const {
    for (int64_t c = 0; c < channels; ++c) {
      scale[c] = rstd[c] * gamma[c];
      shift[c] = (beta ? beta[c] : 0.0f) - mean[c] * scale[c];
    }
  }
  // dx is scale * ((d - mean_dy) - (x - mean) * slope), scale as above, d of `count` values a channel.
  void slopes(int64_t channels, float count, float* mean_dy, float* slope) const {
    for (int64_t c = 0; c < channels; ++c) {
      mean_dy[c] = dbeta[c] / count;
      slope[c] = rstd[c] * dgamma[c] / count;
    }
  }
};

// The results of batch_norm.stats.
struct BatchNormStats {
  float *mean = nullptr, *rstd = nullptr, *var = nullptr;
  double eps = 0;

  // Of a channel, from the mean of `count` values and the sum of their squared distances from it.
  void set(int64_t c, double of_all, double m2, double count) const {
    mean[c] = static_cast<float>(of_all);
    rstd[c] = static_cast<float>(1 / std::sqrt(m2 / count + eps));
    var[c] = static_cast<float>(m2 / (count - 1));
  }
};

// The results of batch_norm.sums.
struct BatchNormSums {
  const float* rstd = nullptr;
  float *dgamma = nullptr, *dbeta = nullptr;

  // From sums over `parts` parts of the rows, each of d [C] and of d * (x - mean) [C]. The parts are added in order.
  void set(double* sums, int64_t parts, int64_t channels) const {
    for (int64_t part = 1; part < parts; ++part)
      for (int64_t i = 0; i < 2 * channels; ++i) sums[i] += sums[part * 2 * channels + i];
    for (int64_t c = 0; c < channels; ++c) {
      dgamma[c] = static_cast<float>(sums[channels + c] * static_cast<double>(rstd[c]));
      dbeta[c] = static_cast<float>(sums[c]);
    }
  }
};

}  // namespace rt::cpu
