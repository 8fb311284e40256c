// What a core can do at most: loops that do nothing but multiply-add in registers, and nothing but stream memory.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace rt {

struct PeakKernels {
  int64_t flops_per_iteration;
  // Returns the sum, so that the loop is needed.
  float (*multiply_add)(int64_t iterations, float factor, float term);
  // a = b + scale * c, all 64-byte aligned.
  void (*triad)(float* a, const float* b, const float* c, float scale, int64_t n);
};

// The kernels of the best instruction set this process may use.
const PeakKernels& peak_kernels();

}  // namespace rt
