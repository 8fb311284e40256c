#include "bench/peak.hpp"

#include <omp.h>

#include <algorithm>
#include <chrono>

#include "core/device.hpp"
#include "core/tensor.hpp"
#include "kernels/peak_simd.hpp"

namespace rt {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Shortest time of `body`, repeated for `seconds` after one run that warms up.
template <class F>
double best_seconds(double seconds, F&& body) {
  body();
  double best = 1e30;
  for (const double end = now() + seconds; now() < end;) {
    const double start = now();
    body();
    best = std::min(best, now() - start);
  }
  return best;
}

}  // namespace

Peak measure_peak(double seconds) {
  const PeakKernels& kernels = peak_kernels();
  const int threads = threads_in_use();

  constexpr int64_t iterations = 50'000;  // 0.1 ms: some repeats are not interrupted on a busy machine
  std::vector<float> sums(static_cast<size_t>(threads));
  const double multiply_s = best_seconds(seconds, [&] {
#pragma omp parallel num_threads(threads)
    sums[static_cast<size_t>(omp_get_thread_num())] = kernels.multiply_add(iterations, 0.999f, 0.001f);
  });
  const double flops = static_cast<double>(kernels.flops_per_iteration * iterations * threads);
  RT_CHECK(sums[0] > 0, "the peak loop did not run");

  // 192 MiB in all, far beyond a last-level cache, or a quarter of what there is.
  const int64_t bytes = std::min<int64_t>(int64_t{64} << 20, machine().usable_memory_bytes.value / 12);
  const int64_t n = bytes / 4 / 16 * 16, part = (n / threads + 15) / 16 * 16;
  const Storage a(static_cast<size_t>(bytes)), b(static_cast<size_t>(bytes)), c(static_cast<size_t>(bytes));
  auto each_part = [&](auto&& f) {
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int t = 0; t < threads; ++t) {
      const int64_t first = std::min(n, t * part), count = std::min(n, first + part) - first;
      f(static_cast<float*>(a.data()) + first, static_cast<float*>(b.data()) + first,
        static_cast<float*>(c.data()) + first, count);
    }
  };
  each_part([](float* x, float* y, float* z, int64_t count) {  // first touch by the thread that will use it
    for (int64_t i = 0; i < count; ++i) x[i] = 0, y[i] = 1, z[i] = 2;
  });
  const double triad_s = best_seconds(seconds, [&] {
    each_part([&](float* x, float* y, float* z, int64_t count) { kernels.triad(x, y, z, 0.5f, count); });
  });
  return {flops / multiply_s * 1e-9, 12.0 * static_cast<double>(n) / triad_s * 1e-9};
}

}  // namespace rt
