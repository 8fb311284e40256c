// Vector kernels of what works element by element on n floats, in any layout. The output may be one of the inputs.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace rt {

struct ElementwiseKernels {
  void (*relu)(const float* x, float* y, int64_t n, bool stream);                             // a NaN stays a NaN
  void (*relu_backward)(const float* dy, const float* y, float* dx, int64_t n, bool stream);  // mask y > 0
  void (*add)(const float* a, const float* b, float* y, int64_t n, bool stream);
};

namespace baseline {
extern const ElementwiseKernels elementwise_kernels;
}
namespace avx2 {
extern const ElementwiseKernels elementwise_kernels;
}
namespace avx512 {
extern const ElementwiseKernels elementwise_kernels;
}

}  // namespace rt
