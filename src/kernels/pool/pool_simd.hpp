// Vector kernels of pooling in NHWC: a pixel is `channels` consecutive numbers, and each kernel call makes one row of
// pixels.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "core/half.hpp"

namespace rt {

struct PoolWindow {
  int64_t kernel, stride, pad;
  int64_t h, w, p, q;  // sizes of x and of y
  int64_t channels;
};

template <class T>
struct PoolKernelsOf {
  // Row `p` of y and index from the image x.
  void (*max_forward)(const PoolWindow& window, const T* x, int64_t p, T* y_row, uint8_t* index_row);
  // Row `h` of dx from the images dy and index.
  void (*max_backward)(const PoolWindow& window, const T* dy, const uint8_t* index, int64_t h, T* dx_row, bool stream);
  // y = the mean of `pixels` pixels, and dx = dy / pixels in each of them.
  void (*mean_forward)(const T* x, int64_t pixels, int64_t channels, T* y);
  void (*mean_backward)(const T* dy, int64_t pixels, int64_t channels, T* dx);
};
struct PoolKernels {
  PoolKernelsOf<float> of_f32;
  PoolKernelsOf<bf16> of_bf16;
};

}  // namespace rt
