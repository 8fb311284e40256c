// Batch normalisation of NHWC values. A reduction is split into groups of rows whose number follows from the shape,
// and their results are merged in order: no bit depends on the thread count.
#include <algorithm>

#include "kernels/batch_norm/batch_norm.hpp"
#include "kernels/simd/nhwc_rows.hpp"

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

template <class T>
void apply(const BatchNormKernelsOf<T>& kernels, const Args& a, bool relu) {
  const Matrix m(a.in[0].spec);
  const T *x = a.in[0].as<T>(), *skip = a.in.size() > 5 ? a.in[5].as<T>() : nullptr;
  T* y = a.out[0].as<T>();
  float *scale = static_cast<float*>(a.workspace), *shift = scale + m.channels;
  BatchNormOf{a.in[1].as<float>(), a.in[2].as<float>(), a.in[3].as<float>(), a.in[4].as<float>()}.affine(m.channels,
                                                                                                         scale, shift);
  const bool stream = streams(a, 0);
  each_part(m, m.pieces(), [&](int64_t, int64_t begin, int64_t rows) {
    const int64_t at = begin * m.channels;
    kernels.apply(x + at, scale, shift, skip ? skip + at : nullptr, relu, y + at, rows, m.channels, stream);
  });
}

// in: dy [y] x mean rstd; y, the mask, where there are five.
template <class T>
void sums(const BatchNormKernelsOf<T>& kernels, const Args& a) {
  const bool masked = a.in.size() == 5;
  const Matrix m(a.in[0].spec);
  const auto in = a.in.subspan(masked ? 2 : 1);
  const T *dy = a.in[0].as<T>(), *y = masked ? a.in[1].as<T>() : nullptr, *x = in[0].as<T>();
  const float* mean = in[1].as<float>();
  double* partial = static_cast<double*>(a.workspace);  // per group: sum of d [C], sum of d * (x - mean) [C]
  const int64_t groups = m.groups(), channels = m.channels;
  each_part(m, groups, [&](int64_t g, int64_t begin, int64_t rows) {
    const int64_t at = begin * channels;
    double* sum = partial + g * 2 * channels;
    kernels.sums(dy + at, {y ? y + at : nullptr}, x + at, mean, rows, channels, channels, sum, sum + channels);
  });
  BatchNormSums{in[2].as<float>(), a.out[0].as<float>(), a.out[1].as<float>()}.set(partial, groups, channels);
}

// in: dy [y] x mean rstd gamma [beta] dgamma dbeta; y, the mask, or beta, by which it follows from x.
template <class T>
void dx(const BatchNormKernelsOf<T>& kernels, const Args& a, bool by_y, bool by_x) {
  const bool skip = a.out.size() == 2;
  const Matrix m(a.in[0].spec);
  const auto in = a.in.subspan(by_y ? 2 : 1);
  const T *dy = a.in[0].as<T>(), *y = by_y ? a.in[1].as<T>() : nullptr, *x = in[0].as<T>();
  auto vector = [&](size_t i) { return in[i].template as<float>(); };
  float *scale = static_cast<float*>(a.workspace), *shift = scale + m.channels, *mean_dy = shift + m.channels,
        *slope = mean_dy + m.channels;
  const float* mean = vector(1);
  const BatchNormOf norm{
      mean, vector(2), vector(3), by_x ? vector(4) : nullptr, vector(by_x ? 5 : 4), vector(by_x ? 6 : 5)};
  norm.affine(m.channels, scale, shift);
  norm.slopes(m.channels, static_cast<float>(m.rows), mean_dy, slope);
  T *dx = a.out[0].as<T>(), *dskip = skip ? a.out[1].as<T>() : nullptr;
  const bool stream = streams(a, 0), stream_skip = skip && streams(a, 1);
  each_part(m, m.pieces(), [&](int64_t, int64_t begin, int64_t rows) {
    const int64_t at = begin * m.channels;
    const ReluMask<T> mask{y ? y + at : nullptr, by_x ? scale : nullptr, by_x ? shift : nullptr};
    kernels.dx(dy + at, mask, x + at, mean, scale, mean_dy, slope, dx + at, skip ? dskip + at : nullptr, rows,
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
  const BatchNormStats of{a.out[0].as<float>(), a.out[1].as<float>(), a.out[2].as<float>(), batch_norm_attrs(a.op).eps};
  for (int64_t c = 0; c < channels; ++c) of.set(c, mean[c], m2[c], static_cast<double>(m.rows));
}

}  // namespace

size_t batch_norm_workspace(const Problem& problem) {
  // Two f64 vectors per group and one pair for the result; the steps without a reduction keep up to four f32 vectors.
  const Matrix m(problem.in[0]);
  return static_cast<size_t>((m.groups() + 1) * 2 * m.channels) * sizeof(double);
}

template <const BatchNormKernels& kernels>
void BatchNormRows<kernels>::stats(const Args& a) {
  with_storage(a.in[0], [&](auto zero) { cpu::stats<decltype(zero)>(kernels, a); });
}
template <const BatchNormKernels& kernels>
void BatchNormRows<kernels>::apply(const Args& a) {
  with_storage(a.in[0], [&](auto zero) { cpu::apply(kernels_of<decltype(zero)>(kernels), a, false); });
}
template <const BatchNormKernels& kernels>
void BatchNormRows<kernels>::relu_apply(const Args& a) {
  with_storage(a.in[0], [&](auto zero) { cpu::apply(kernels_of<decltype(zero)>(kernels), a, true); });
}
template <const BatchNormKernels& kernels>
void BatchNormRows<kernels>::sums(const Args& a) {
  with_storage(a.in[0], [&](auto zero) { cpu::sums(kernels_of<decltype(zero)>(kernels), a); });
}
template <const BatchNormKernels& kernels>
void BatchNormRows<kernels>::dx(const Args& a) {
  with_storage(a.in[0], [&](auto zero) { cpu::dx(kernels_of<decltype(zero)>(kernels), a, a.in.size() == 8, false); });
}
template <const BatchNormKernels& kernels>
void BatchNormRows<kernels>::dx_by_x(const Args& a) {
  with_storage(a.in[0], [&](auto zero) { cpu::dx(kernels_of<decltype(zero)>(kernels), a, false, true); });
}

RT_FOR_EACH_ISA(BatchNormRows, batch_norm_kernels)

}  // namespace rt::cpu
