// Vector kernels of batch normalisation. A value [N,C,H,W] in NHWC is a matrix of rows x channels, row-major; a kernel
// works on some consecutive rows of it. All f32, but what is carried across chunks of rows is f64.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace rt {

struct BatchNormKernels {
  // mean[c], m2[c] (the sum of squared deviations from the mean) of the rows.
  void (*stats)(const float* x, int64_t rows, int64_t channels, double* mean, double* m2);

  // mean, m2 of `rows` rows become those of rows + more_rows. With rows = 0, mean and m2 need only be finite.
  void (*merge)(int64_t rows, double* mean, double* m2, int64_t more_rows, const double* more_mean,
                const double* more_m2, int64_t channels);

  // sum_d[c] = sum of d, sum_dx[c] = sum of d * (x - mean[c]);  d is dy, where y is not null only if y > 0, else 0.
  void (*sums)(const float* dy, const float* y, const float* x, const float* mean, int64_t rows, int64_t channels,
               double* sum_d, double* sum_dx);

  // y = x * scale[c] + shift[c], then relu where asked; or relu(that + skip) where skip is not null.
  // y may be x.
  void (*apply)(const float* x, const float* scale, const float* shift, const float* skip, bool relu, float* y,
                int64_t rows, int64_t channels, bool stream);

  // dx = scale[c] * ((d - mean_dy[c]) - (x - mean[c]) * slope[c]), d as in sums; dskip, where it is not null, gets d
  // (and y is not null then). dx may be dy or x. stream applies to dx, stream_skip to dskip.
  void (*dx)(const float* dy, const float* y, const float* x, const float* mean, const float* scale,
             const float* mean_dy, const float* slope, float* dx, float* dskip, int64_t rows, int64_t channels,
             bool stream, bool stream_skip);
};

namespace baseline {
extern const BatchNormKernels batch_norm_kernels;
}
namespace avx2 {
extern const BatchNormKernels batch_norm_kernels;
}
namespace avx512 {
extern const BatchNormKernels batch_norm_kernels;
}

}  // namespace rt
