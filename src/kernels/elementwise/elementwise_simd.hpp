// Vector kernels of what works element by element on n values, in any layout. The output may be one of the inputs.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "core/half.hpp"

namespace rt {

template <class T>
struct ElementwiseKernelsOf {
  void (*relu)(const T* x, T* y, int64_t n, bool stream);                         // a NaN stays a NaN
  void (*relu_backward)(const T* dy, const T* y, T* dx, int64_t n, bool stream);  // mask y > 0
  void (*add)(const T* a, const T* b, T* y, int64_t n, bool stream);
};
struct ElementwiseKernels {
  ElementwiseKernelsOf<float> of_f32;
  ElementwiseKernelsOf<bf16> of_bf16;
  void (*add_bf16)(const float* a, const bf16* b, float* y, int64_t n, bool stream);
};

}  // namespace rt
