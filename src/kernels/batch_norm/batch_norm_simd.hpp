// Vector kernels of batch normalisation. A value [N,C,H,W] in NHWC is a matrix of rows x channels, row-major; a kernel
// works on some consecutive rows of it. Values are of type T in memory; what belongs to a channel is f32, but what is
// carried across chunks of rows is f64.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "core/half.hpp"

namespace rt {

// Which elements a ReLU after the batch norm let through: those with y > 0, or where y is null, those with
// x * scale[c] + shift[c] > 0. Where all three are null there is no ReLU, and every element passes.
template <class T>
struct ReluMask {
  const T* y = nullptr;
  const float *scale = nullptr, *shift = nullptr;
};

template <class T>
struct BatchNormKernelsOf {
  // mean[c] of the rows, and m2[c], the sum of squared deviations from it.
  void (*stats)(const T* x, int64_t rows, int64_t channels, double* mean, double* m2);

  // sum_d[c] is the sum of d, sum_dx[c] that of d * (x - mean[c]), where d is dy if the mask lets the element through,
  // else 0. Rows lie `row` numbers apart.
  void (*sums)(const T* dy, const ReluMask<T>& mask, const T* x, const float* mean, int64_t rows, int64_t row,
               int64_t channels, double* sum_d, double* sum_dx);

  // Without skip: y = x * scale[c] + shift[c], rectified if `relu`. With skip: y = relu(r + skip), where r is
  // x * scale[c] + shift[c] rounded to T. y may be x. `stream`: y is written past the caches.
  void (*apply)(const T* x, const float* scale, const float* shift, const T* skip, bool relu, T* y, int64_t rows,
                int64_t channels, bool stream);

  // dx = scale[c] * ((d - mean_dy[c]) - (x - mean[c]) * slope[c]), with d as in `sums`. Where dskip is not null it gets
  // d, and the mask must have y then. dx may be dy or x. stream, stream_skip: dx, dskip are written past the
  // caches.
  void (*dx)(const T* dy, const ReluMask<T>& mask, const T* x, const float* mean, const float* scale,
             const float* mean_dy, const float* slope, T* dx, T* dskip, int64_t rows, int64_t channels, bool stream,
             bool stream_skip);
};
struct BatchNormKernels {
  BatchNormKernelsOf<float> of_f32;
  BatchNormKernelsOf<bf16> of_bf16;

  // mean, m2 of `rows` rows become those of rows + more_rows. With rows = 0, mean and m2 need only be finite.
  void (*merge)(int64_t rows, double* mean, double* m2, int64_t more_rows, const double* more_mean,
                const double* more_m2, int64_t channels);
};

}  // namespace rt
