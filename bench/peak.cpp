#include "bench/peak.hpp"

#include <omp.h>

#include <algorithm>

#include "core/clock.hpp"
#include "core/cuda.hpp"
#include "core/rng.hpp"
#include "core/tape.hpp"
#include "kernels/linear/linear.hpp"
#include "kernels/simd/peak_simd.hpp"
#include "kernels/table.hpp"

namespace rt {
namespace {

// Shortest time of `body`, repeated for `seconds` after one run that warms up.
template <class F>
double best_seconds(double seconds, F&& body) {
  body();
  double best = 1e30;
  for (const double end = now_ms() + 1e3 * seconds; now_ms() < end;) {
    const double start = now_ms();
    body();
    best = std::min(best, 1e-3 * (now_ms() - start));
  }
  return best;
}

}  // namespace

Peak measure_peak(double seconds) {
  const PeakKernels& kernels = peak_kernels();
  const int threads = threads_in_use();

  constexpr int64_t iterations = 50'000;  // 0.1 ms: some repeats are not interrupted on a loaded machine
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
    for (int64_t i = 0; i < count; ++i) {
      x[i] = 0;
      y[i] = 1;
      z[i] = 2;
    }
  });
  const double triad_s = best_seconds(seconds, [&] {
    each_part([&](float* x, float* y, float* z, int64_t count) { kernels.triad(x, y, z, 0.5f, count); });
  });
  return {.gflops = flops / multiply_s * 1e-9, .gbps = 12.0 * static_cast<double>(n) / triad_s * 1e-9};
}

Peak measure_cuda_peak(DType precision) {
  constexpr int64_t n = 8192;
  void* stream = cuda::compute_stream();
  const Target target = cuda_target();
  Tape tape(Tape::Mode::trace, kernel_table(), target);
  const Spec square{{n, n}, precision}, row_of_n{{n}, DType::f32};
  linear(tape, tape.make(square), tape.make(square), tape.make(row_of_n));
  const Step& step = tape.steps()[0];
  const Spec in[] = {square, square, row_of_n}, out[] = {square};
  const Problem problem{.kind = step.kind, .ops = step.ops, .in = in, .out = out};
  const Row& row = select_row(kernel_table(), target, problem);

  const Storage x(square.bytes(), Device::cuda), w(square.bytes(), Device::cuda), y(square.bytes(), Device::cuda);
  const Storage bias(row_of_n.bytes(), Device::cuda), workspace(workspace_bytes(row, problem), Device::cuda);
  Tensor wide({{n, n}, DType::f32}), values(square);
  Rng rng(0, RngPurpose::sample);
  for (int64_t i = 0; i < n * n; ++i) wide.as<float>()[i] = rng.uniform(-1, 1);
  copy_convert(wide.view(), values.view());
  write_to({square, x.data()}, Device::cuda, values.view().data);
  write_to({square, w.data()}, Device::cuda, values.view().data);
  cuda::fill_zero(bias.data(), bias.bytes(), stream);
  const View in_views[] = {{square, x.data()}, {square, w.data()}, {row_of_n, bias.data()}};
  const View out_views[] = {{square, y.data()}};
  constexpr int products = 10, copies = 20;
  const double product_s = best_seconds(1.0, [&] {
    for (int i = 0; i < products; ++i)
      run_row(row,
              {.ops = step.ops, .in = in_views, .out = out_views, .workspace = workspace.data(), .stream = stream});
    cuda::synchronize(stream);
  });

  constexpr size_t bytes = size_t{1} << 30;
  const Storage from(bytes, Device::cuda), to(bytes, Device::cuda);
  cuda::fill_zero(from.data(), bytes, stream);
  const double copy_s = best_seconds(0.3, [&] {
    for (int i = 0; i < copies; ++i) cuda::copy_on_device(to.data(), from.data(), bytes, stream);
    cuda::synchronize(stream);
  });
  const double flops = 2.0 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
  return {.gflops = products * flops / product_s * 1e-9,
          .gbps = copies * 2.0 * static_cast<double>(bytes) / copy_s * 1e-9};
}

}  // namespace rt
