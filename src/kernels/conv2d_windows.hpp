// The operands of convolution as matrices: windows of an image as rows, and panels of weights or gradients for
// GemmBlock::b. Columns of windows, and so the depth of the products, are ordered by tap, then channel.
#pragma once
#include "kernels/gemm_simd.hpp"

namespace rt::cpu {

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// The windows that a grid of p x q output pixels per image has on a source [n,h,w,c]: pixel (i,j) sees the rectangle of
// taps_h x taps_w source pixels whose corner is (i*step+h0, j*step+w0), zero where that leaves the image.
struct Windows {
  const float* source;
  int64_t n, h, w, c, p, q, step, h0, w0, taps_h, taps_w;

  int64_t pixels() const { return n * p * q; }
  int64_t depth() const { return taps_h * taps_w * c; }
  bool is_source() const {  // the source itself is the matrix of windows
    return taps_h * taps_w == 1 && step == 1 && h0 == 0 && w0 == 0 && p == h && q == w;
  }
};

// Rows [first, first + count) and columns [d0, d1) of the matrix of windows, to `to` with a row stride.
void copy_windows(const Windows& v, int64_t first, int64_t count, int64_t d0, int64_t d1, float* to, int64_t to_row);

// Weights for a grid of taps: tap (i,j), of an output and an input channel, is
// w[output * output_stride + input * input_stride + first + i * h_stride + j * w_stride].
struct Taps {
  const float* w;
  int64_t outputs, inputs, output_stride, input_stride, taps_h, taps_w, first, h_stride, w_stride;

  int64_t depth() const { return taps_h * taps_w * inputs; }
};
// Panels [outputs / columns][tap][input][columns], zero beyond the last output. Runs in parallel.
void pack_weights(const Taps& t, int64_t columns, float* to);

// A matrix [rows, k] as panels [k / columns][rows][columns], zero beyond the last k.
void pack_rows(const float* from, int64_t rows, int64_t k, int64_t columns, float* to);

}  // namespace rt::cpu
