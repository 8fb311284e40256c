// Batch normalisation of NHWC rows, in loops over channels that the compiler turns into vectors.
// The fused and the plain form of a kernel share one expression, each product in it has one addition to be contracted
// with, and what the plain form would store is rounded: fused and unfused steps must give the same bits.
#include "kernels/batch_norm/batch_norm_simd.hpp"

#include "kernels/simd/memory_simd.hpp"

namespace rt::RT_ISA {
namespace {

// Rows are summed in f32 by chunks that stay in L2, and by blocks of channels whose sums stay in L1. Both sizes follow
// from the shape alone, so neither the thread count nor the instruction set changes which numbers are added up.
constexpr int64_t block = 2048;
// Arrays of sums side by side: the processor takes a load for dependent on a store whose address agrees in its last 12
// bits, so their elements must not be a multiple of 4 KiB apart.
constexpr int64_t room = block + 320;

int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t chunk_rows(int64_t channels) {
  const int64_t rows = 16384 / channels;
  return rows < 32 ? 32 : min(rows, 256);
}

// Calls f(c0, width, r0, height) for every block of channels and, within it, every chunk of rows in order. `row`: the
// channels of the whole value, of which `channels` are summed.
template <class F>
void each_chunk(int64_t rows, int64_t row, int64_t channels, F f) {
  const int64_t step = chunk_rows(row);
  for (int64_t c = 0; c < channels; c += block)
    for (int64_t r = 0; r < rows; r += step) f(c, min(block, channels - c), r, min(step, rows - r));
}

void merge(int64_t rows, double* mean, double* m2, int64_t more_rows, const double* more_mean, const double* more_m2,
           int64_t channels) {
  // Chan, Golub & LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
  const double weight = static_cast<double>(more_rows) / static_cast<double>(rows + more_rows);
  const double factor = static_cast<double>(rows) * weight;
#pragma omp simd
  for (int64_t c = 0; c < channels; ++c) {
    const double delta = more_mean[c] - mean[c];
    mean[c] += delta * weight;
    m2[c] += more_m2[c] + delta * delta * factor;
  }
}

// Two passes over a chunk: E[x^2]-E[x]^2 cancels in f32 when mean >> std. What the first pass's mean is off by, the
// second one's sum of deviations corrects. The second finds the chunk in the cache, so it may take four rows at a time.
template <class T>
void chunk_stats(const T* x, int64_t rows, int64_t width, int64_t stride, double* mean, double* m2) {
  float about[room], sum[room], squares[room];
  for (int64_t c = 0; c < width; ++c) about[c] = sum[c] = squares[c] = 0;
  for (int64_t r = 0; r < rows; ++r) {
    const T* row = x + r * stride;
    keep_row_order();
#pragma omp simd
    for (int64_t c = 0; c < width; ++c) about[c] += row[c];
  }
  const float count = static_cast<float>(rows);
#pragma omp simd
  for (int64_t c = 0; c < width; ++c) about[c] /= count;

  int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    const T *x0 = x + r * stride, *x1 = x0 + stride, *x2 = x1 + stride, *x3 = x2 + stride;
#pragma omp simd
    for (int64_t c = 0; c < width; ++c) {
      const float d0 = x0[c] - about[c], d1 = x1[c] - about[c], d2 = x2[c] - about[c], d3 = x3[c] - about[c];
      sum[c] += (d0 + d1) + (d2 + d3);
      float s = squares[c];
      s += d0 * d0;
      s += d1 * d1;
      s += d2 * d2;
      s += d3 * d3;
      squares[c] = s;
    }
  }
  for (; r < rows; ++r)
#pragma omp simd
    for (int64_t c = 0; c < width; ++c) {
      const float d = x[r * stride + c] - about[c];
      sum[c] += d;
      squares[c] += d * d;
    }
  const double n = static_cast<double>(rows);
#pragma omp simd
  for (int64_t c = 0; c < width; ++c) {
    const double off = static_cast<double>(sum[c]) / n;
    mean[c] = static_cast<double>(about[c]) + off;
    m2[c] = static_cast<double>(squares[c]) - static_cast<double>(sum[c]) * off;
  }
}

template <class T>
void stats(const T* x, int64_t rows, int64_t channels, double* mean, double* m2) {
  double chunk_mean[room], chunk_m2[room];
  for (int64_t c = 0; c < channels; ++c) mean[c] = m2[c] = 0;
  each_chunk(rows, channels, channels, [&](int64_t c, int64_t width, int64_t r, int64_t height) {
    chunk_stats(x + r * channels + c, height, width, channels, chunk_mean, chunk_m2);
    merge(r, mean + c, m2 + c, height, chunk_mean, chunk_m2, width);
  });
}

enum class Masked { no, by_y, by_x };

template <Masked masked, class T, class V>
V gradient(V dy, V y, V x, V scale, V shift) {
  if constexpr (masked == Masked::by_y) return where_positive(y, dy);
  if constexpr (masked == Masked::by_x) return where_positive(stored<T>(x * scale + shift), dy);
  return dy;
}

template <Masked masked, class T>
void sums(const T* dy, const ReluMask<T>& mask, const T* x, const float* mean, int64_t rows, int64_t row,
          int64_t channels, double* sum_d, double* sum_dx) {
  for (int64_t c = 0; c < channels; ++c) sum_d[c] = sum_dx[c] = 0;
  // What the mask does not need is loaded and never looked at.
  const T* y = masked == Masked::by_y ? mask.y : dy;
  const float *scale = masked == Masked::by_x ? mask.scale : mean, *shift = masked == Masked::by_x ? mask.shift : mean;
  each_chunk(rows, row, channels, [&](int64_t c0, int64_t width, int64_t r0, int64_t height) {
    float s[room], sx[room];
    for (int64_t c = 0; c < width; ++c) s[c] = sx[c] = 0;
    const float* about = mean + c0;
    for (int64_t r = r0; r < r0 + height; ++r) {
      const int64_t at = r * row + c0;
      const T *dy_row = dy + at, *y_row = y + at, *x_row = x + at;
      const float *scale_of = scale + c0, *shift_of = shift + c0;
      keep_row_order();
#pragma omp simd
      for (int64_t c = 0; c < width; ++c) {
        const float d = gradient<masked, T, float>(dy_row[c], y_row[c], x_row[c], scale_of[c], shift_of[c]);
        s[c] += d;
        sx[c] += d * (x_row[c] - about[c]);
      }
    }
#pragma omp simd
    for (int64_t c = 0; c < width; ++c) {
      sum_d[c0 + c] += static_cast<double>(s[c]);
      sum_dx[c0 + c] += static_cast<double>(sx[c]);
    }
  });
}

template <bool add, bool relu, bool stream, class T>
void apply(const T* x, const float* scale, const float* shift, const T* skip, T* y, int64_t rows, int64_t channels) {
  for (int64_t r = 0; r < rows; ++r, x += channels, y += channels, skip += add ? channels : 0)
    write<stream>(y, channels, [=](auto at) {
      auto v = at(x) * at(scale) + at(shift);
      if constexpr (add) v = stored<T>(v) + at(skip);
      return relu ? positive(v) : v;
    });
  finish_writes<stream>();
}

template <Masked masked, bool stream, class T>
void dx(const T* dy, const T* y, const T* x, const float* shift, const float* mean, const float* scale,
        const float* mean_dy, const float* slope, T* out, int64_t rows, int64_t channels) {
  if (masked != Masked::by_y) y = dy;
  if (masked != Masked::by_x) shift = mean;
  for (int64_t r = 0; r < rows; ++r, dy += channels, y += channels, x += channels, out += channels)
    write<stream>(out, channels, [=](auto at) {
      const auto d = gradient<masked, T>(at(dy), at(y), at(x), at(scale), at(shift));
      return at(scale) * ((d - at(mean_dy)) - (at(x) - at(mean)) * at(slope));
    });
  finish_writes<stream>();
}

template <bool stream, class T>
void mask(const T* dy, const T* y, T* d, int64_t n) {
  write<stream>(d, n, [=](auto at) { return where_positive(at(y), at(dy)); });
  finish_writes<stream>();
}

template <class T>
void any_sums(const T* dy, const ReluMask<T>& mask, const T* x, const float* mean, int64_t rows, int64_t row,
              int64_t channels, double* sum_d, double* sum_dx) {
  (mask.y       ? sums<Masked::by_y, T>
   : mask.scale ? sums<Masked::by_x, T>
                : sums<Masked::no, T>)(dy, mask, x, mean, rows, row, channels, sum_d, sum_dx);
}

template <class T>
void any_apply(const T* x, const float* scale, const float* shift, const T* skip, bool relu, T* y, int64_t rows,
               int64_t channels, bool stream) {
  if (skip)
    (stream ? apply<true, true, true, T> : apply<true, true, false, T>)(x, scale, shift, skip, y, rows, channels);
  else if (relu)
    (stream ? apply<false, true, true, T> : apply<false, true, false, T>)(x, scale, shift, skip, y, rows, channels);
  else
    (stream ? apply<false, false, true, T> : apply<false, false, false, T>)(x, scale, shift, skip, y, rows, channels);
}

template <class T>
void any_dx(const T* dy, const ReluMask<T>& by, const T* x, const float* mean, const float* scale, const float* mean_dy,
            const float* slope, T* out, T* dskip, int64_t rows, int64_t channels, bool stream, bool stream_skip) {
  const T* y = by.y;
  // A few rows at a time, so that dx finds in the cache what the mask has read. dskip first: dx may be written over dy.
  const int64_t step = dskip ? (4096 + channels - 1) / channels : rows;
  for (int64_t r = 0; r < rows; r += step) {
    const int64_t at = r * channels, n = min(step, rows - r);
    if (dskip) (stream_skip ? mask<true, T> : mask<false, T>)(dy + at, y + at, dskip + at, n * channels);
    auto run = [&](auto* f) {
      f(dy + at, y ? y + at : nullptr, x + at, by.shift, mean, scale, mean_dy, slope, out + at, n, channels);
    };
    if (y)
      run(stream ? dx<Masked::by_y, true, T> : dx<Masked::by_y, false, T>);
    else if (by.shift)
      run(stream ? dx<Masked::by_x, true, T> : dx<Masked::by_x, false, T>);
    else
      run(stream ? dx<Masked::no, true, T> : dx<Masked::no, false, T>);
  }
}

}  // namespace

extern const BatchNormKernels batch_norm_kernels;  // kernels/isa.hpp declares it, for each instruction set
const BatchNormKernels batch_norm_kernels = {
    {stats, any_sums, any_apply, any_dx}, {stats, any_sums, any_apply, any_dx}, merge};

}  // namespace rt::RT_ISA
