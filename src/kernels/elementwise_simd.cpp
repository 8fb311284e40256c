#include "kernels/elementwise_simd.hpp"

#include "kernels/memory_simd.hpp"

namespace rt::RT_ISA {
namespace {

template <class F>
void write_all(float* out, int64_t n, bool stream, F f) {
  if (stream) {
    write<true>(out, n, f);
    finish_writes<true>();
  } else {
    write<false>(out, n, f);
  }
}

void relu(const float* x, float* y, int64_t n, bool stream) {
  write_all(y, n, stream, [=](int64_t i) { return x[i] <= 0 ? 0.0f : x[i]; });
}
void relu_backward(const float* dy, const float* y, float* dx, int64_t n, bool stream) {
  write_all(dx, n, stream, [=](int64_t i) { return y[i] > 0 ? dy[i] : 0.0f; });
}
void add(const float* a, const float* b, float* y, int64_t n, bool stream) {
  write_all(y, n, stream, [=](int64_t i) { return a[i] + b[i]; });
}

}  // namespace

const ElementwiseKernels elementwise_kernels = {relu, relu_backward, add};

}  // namespace rt::RT_ISA
