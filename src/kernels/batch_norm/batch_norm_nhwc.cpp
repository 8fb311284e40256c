// Batch normalisation of NHWC values. A reduction is split into groups of rows whose number follows from the shape,
// and their results are merged in order: no bit depends on the thread count.
#include <algorithm>

#include "kernels/batch_norm/batch_norm.hpp"
#include "kernels/batch_norm/batch_norm_channels.hpp"
#include "kernels/isa.hpp"
#include "kernels/rows.hpp"
#include "kernels/simd/rows.hpp"

namespace rt::cpu {
namespace {

struct Matrix {
  int64_t rows, channels;
  explicit Matrix(const Spec& x) : rows(x.shape.numel() / x.shape.c()), channels(x.shape.c()) {}
  int64_t groups() const { return std::clamp<int64_t>(rows / 128, 1, 64); }               // of a reduction
  int64_t pieces() const { return std::clamp<int64_t>(rows * channels >> 14, 1, rows); }  // 32 or 64 KiB each, or a row
};

// f(i, first row, number of rows) for each of `count` nearly equal parts of the rows, in parallel.
template <class F>
void each_part(const Matrix& m, int64_t count, F&& f) {
#pragma omp parallel for schedule(static) if (m.rows * m.channels >= min_parallel)
  for (int64_t i = 0; i < count; ++i) {
    const int64_t begin = m.rows * i / count;
    f(i, begin, m.rows * (i + 1) / count - begin);
  }
}

// Those of the step's operands that belong to a channel; what it does not have is null.
BatchNormOf norm_of(const Args& a) {
  auto numbers = [&](std::string_view operand) {
    const View* v = a.find_input(operand);
    return v ? v->as<float>() : nullptr;
  };
  return {.mean = numbers("mean"),
          .rstd = numbers("rstd"),
          .gamma = numbers("gamma"),
          .beta = numbers("beta"),
          .dgamma = numbers("dgamma"),
          .dbeta = numbers("dbeta")};
}

template <class T>
void apply(const BatchNormKernelsOf<T>& kernels, const Args& a, bool relu) {
  const Matrix m(a.in[0].spec);
  const View* skip_view = a.find_input("skip");
  const T *x = a.input("x").as<T>(), *skip = skip_view ? skip_view->as<T>() : nullptr;
  T* y = a.output("y").as<T>();
  float *scale = static_cast<float*>(a.workspace), *shift = scale + m.channels;
  norm_of(a).affine(m.channels, scale, shift);
  const bool stream = streams(a, 0);
  each_part(m, m.pieces(), [&](int64_t, int64_t begin, int64_t rows) {
    const int64_t at = begin * m.channels;
    kernels.apply(x + at, scale, shift, skip ? skip + at : nullptr, relu, y + at, rows, m.channels, stream);
  });
}

template <class T>
void sums(const BatchNormKernelsOf<T>& kernels, const Args& a) {
  const Matrix m(a.in[0].spec);
  const View* mask = a.find_input("y");
  const T *dy = a.input("dy").as<T>(), *y = mask ? mask->as<T>() : nullptr, *x = a.input("x").as<T>();
  const float* mean = a.input("mean").as<float>();
  double* partial = static_cast<double*>(a.workspace);  // per group: sum of d [C], sum of d * (x - mean) [C]
  const int64_t groups = m.groups(), channels = m.channels;
  each_part(m, groups, [&](int64_t g, int64_t begin, int64_t rows) {
    const int64_t at = begin * channels;
    double* sum = partial + g * 2 * channels;
    kernels.sums(dy + at, {y ? y + at : nullptr}, x + at, mean, rows, channels, channels, sum, sum + channels);
  });
  const BatchNormSums results{.rstd = a.input("rstd").as<float>(),
                              .dgamma = a.output("dgamma").as<float>(),
                              .dbeta = a.output("dbeta").as<float>()};
  results.set(partial, groups, channels);
}

// The mask is y where the step has it; else it follows from x where the step has beta; else there is none.
template <class T>
void dx(const BatchNormKernelsOf<T>& kernels, const Args& a) {
  const Matrix m(a.in[0].spec);
  const View *y_view = a.find_input("y"), *skip = a.find_output("dskip");
  const T *dy = a.input("dy").as<T>(), *y = y_view ? y_view->as<T>() : nullptr, *x = a.input("x").as<T>();
  float *scale = static_cast<float*>(a.workspace), *shift = scale + m.channels, *mean_dy = shift + m.channels,
        *slope = mean_dy + m.channels;
  const BatchNormOf norm = norm_of(a);
  const bool by_x = norm.beta != nullptr;
  norm.affine(m.channels, scale, shift);
  norm.slopes(m.channels, static_cast<float>(m.rows), mean_dy, slope);
  T *dx = a.output("dx").as<T>(), *dskip = skip ? skip->as<T>() : nullptr;
  const bool stream = streams(a, 0), stream_skip = skip && streams(a, 1);
  each_part(m, m.pieces(), [&](int64_t, int64_t begin, int64_t rows) {
    const int64_t at = begin * m.channels;
    const ReluMask<T> mask{y ? y + at : nullptr, by_x ? scale : nullptr, by_x ? shift : nullptr};
    kernels.dx(dy + at, mask, x + at, norm.mean, scale, mean_dy, slope, dx + at, skip ? dskip + at : nullptr, rows,
               m.channels, stream, stream_skip);
  });
}

template <class T>
void stats(const BatchNormKernels& kernels, const Args& a) {
  const Matrix m(a.in[0].spec);
  const int64_t groups = m.groups(), channels = m.channels;
  const T* x = a.in[0].as<T>();
  double *mean = static_cast<double*>(a.workspace), *m2 = mean + channels, *partial = m2 + channels;
  each_part(m, groups, [&](int64_t g, int64_t begin, int64_t rows) {
    double* group = partial + g * 2 * channels;
    kernels_of<T>(kernels).stats(x + begin * channels, rows, channels, group, group + channels);
  });
  std::fill_n(mean, 2 * channels, 0.0);
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t begin = m.rows * g / groups, end = m.rows * (g + 1) / groups;
    const double* group = partial + g * 2 * channels;
    kernels.merge(begin, mean, m2, end - begin, group, group + channels, channels);
  }
  const BatchNormStats of{.mean = a.output("mean").as<float>(),
                          .rstd = a.output("rstd").as<float>(),
                          .var = a.output("var").as<float>(),
                          .eps = batch_norm_attrs(a.ops).eps};
  for (int64_t c = 0; c < channels; ++c) of.set(c, mean[c], m2[c], static_cast<double>(m.rows));
}

size_t workspace(const Problem& problem) {
  // Two f64 vectors per group and one pair for the result; the steps without a reduction keep up to four f32 vectors.
  const Matrix m(problem.in[0]);
  return static_cast<size_t>((m.groups() + 1) * 2 * m.channels) * sizeof(double);
}

// The rows of one instruction set's kernels.
template <const BatchNormKernels& kernels>
struct Run {
  static void stats(const Args& a) {
    with_storage(a.in[0], [&](auto zero) { cpu::stats<decltype(zero)>(kernels, a); });
  }
  template <bool relu>
  static void apply(const Args& a) {
    with_storage(a.in[0], [&](auto zero) { cpu::apply(kernels_of<decltype(zero)>(kernels), a, relu); });
  }
  static void sums(const Args& a) {
    with_storage(a.in[0], [&](auto zero) { cpu::sums(kernels_of<decltype(zero)>(kernels), a); });
  }
  static void dx(const Args& a) {
    with_storage(a.in[0], [&](auto zero) { cpu::dx(kernels_of<decltype(zero)>(kernels), a); });
  }
};

}  // namespace

void add_batch_norm_rows(Rows& rows) {
  for_each_isa([&]<class Isa>() {
    using R = Run<Isa::batch_norm>;
    auto add = [&](const Kind& kind, RunFunction run, std::string_view overwrites) {
      rows.add({.kind = kind,
                .name = row_name<Isa>(),
                .min_capability = Isa::capability,
                .refuse = refuse_all_but_f32_bf16_nhwc,
                .run = run,
                .workspace = workspace,
                .overwrites = overwrites});
    };
    add(kinds::batch_norm_stats, R::stats, "");
    add(kinds::batch_norm_apply, R::template apply<false>, "x");
    add(kinds::batch_norm_sums, R::sums, "");
    add(kinds::batch_norm_dx, R::dx, "dy");
    add(kinds::bn_relu_apply, R::template apply<true>, "x");
    add(kinds::bn_add_relu_apply, R::template apply<true>, "x");
    add(kinds::bn_relu_sums, R::sums, "");
    add(kinds::bn_relu_dx, R::dx, "dy");
    add(kinds::bn_relu_dx_by_x, R::dx, "dy");
    add(kinds::bn_add_relu_dx, R::dx, "x");
  });
}

}  // namespace rt::cpu
