// Vector kernels of pooling in NHWC: a pixel is `channels` consecutive floats, and each kernel call makes one row of
// pixels.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace rt {

struct PoolWindow {
  int64_t kernel, stride, pad;
  int64_t h, w, p, q;  // sizes of x and of y
  int64_t channels;
};

struct PoolKernels {
  // Row `p` of y and index from the image x.
  void (*max_forward)(const PoolWindow& window, const float* x, int64_t p, float* y_row, uint8_t* index_row);
  // Row `h` of dx from the images dy and index.
  void (*max_backward)(const PoolWindow& window, const float* dy, const uint8_t* index, int64_t h, float* dx_row,
                       bool stream);
  // y = the mean of `pixels` pixels, and dx = dy / pixels in each of them.
  void (*mean_forward)(const float* x, int64_t pixels, int64_t channels, float* y);
  void (*mean_backward)(const float* dy, int64_t pixels, int64_t channels, float* dx);
};

namespace baseline {
extern const PoolKernels pool_kernels;
}
namespace avx2 {
extern const PoolKernels pool_kernels;
}
namespace avx512 {
extern const PoolKernels pool_kernels;
}

}  // namespace rt
