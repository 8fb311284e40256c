// Twelve independent accumulators hide the latency of a multiply-add (4 cycles, two a cycle) and fit, with the two
// operands, into 16 registers. Arm's large cores start four a cycle, and have 32.
#include "kernels/simd/peak_simd.hpp"

#include "kernels/simd/simd.hpp"

namespace rt::RT_ISA {
namespace {

#if defined(__aarch64__)
constexpr int chains = 24;
#else
constexpr int chains = 12;
#endif

float multiply_add(int64_t iterations, float factor, float term) {
  Vec sum[chains];
  const Vec f = broadcast(factor), t = broadcast(term);
  for (int j = 0; j < chains; ++j) sum[j] = t * static_cast<float>(j);
  for (int64_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 24
    for (int j = 0; j < chains; ++j) sum[j] = sum[j] * f + t;
  }
  float total = 0;
  for (int j = 0; j < chains; ++j)
    for (int l = 0; l < lanes; ++l) total += sum[j][l];
  return total;
}

void triad(float* a, const float* b, const float* c, float scale, int64_t n) {
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store(a + i, load(b + i) + scale * load(c + i));
  for (; i < n; ++i) a[i] = b[i] + scale * c[i];
}

}  // namespace

extern const PeakKernels peak_kernels;  // kernels/isa.hpp declares it, for each instruction set
const PeakKernels peak_kernels = {
    .flops_per_iteration = 2LL * chains * lanes, .multiply_add = multiply_add, .triad = triad};

}  // namespace rt::RT_ISA
