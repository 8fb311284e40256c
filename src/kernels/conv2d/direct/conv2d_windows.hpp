// The operands of convolution as matrices: windows of an image as rows, and panels of weights or gradients for
// GemmBlock::b. Columns of windows, and so the depth of the products, are ordered by tap, then channel. T is how images
// and weights lie in memory, f32 or bf16; an Element of the matrices is an f32, or a pair of bf16, whose second is zero
// beyond the last number. The functions exist for <float, float>, <bf16, float> and <bf16, Bf16Pair>.
#pragma once
#include <algorithm>
#include <type_traits>

#include "core/device.hpp"
#include "core/divide.hpp"
#include "kernels/gemm/gemm_simd.hpp"

namespace rt::cpu {

// Threads that have a task, and so need scratch memory.
inline int64_t workers(int64_t tasks) { return std::min<int64_t>(threads_in_use(), tasks); }

// The windows that a grid of p x q output pixels per image has on a source [n,h,w,c]: pixel (i,j) sees the rectangle of
// taps_h x taps_w source pixels whose corner is (i*step+h0, j*step+w0), zero where that leaves the image.
template <class T>
struct Windows {
  const T* source;
  int64_t n, h, w, c;  // of the source
  int64_t p, q;        // of the grid
  int64_t step, h0, w0;
  int64_t taps_h, taps_w;

  int64_t pixels() const { return n * p * q; }
  int64_t depth() const { return taps_h * taps_w * c; }
  bool is_source() const {  // the source itself is the matrix of windows
    return taps_h * taps_w == 1 && step == 1 && h0 == 0 && w0 == 0 && p == h && q == w;
  }
};

// How many numbers an element holds.
template <class Element>
inline constexpr int64_t per = std::is_same_v<Element, Bf16Pair> ? 2 : 1;

// Rows [first, first + count) and columns [d0, d1) of the matrix of windows, to `to` with a row stride. A pair is of
// two adjacent numbers of a row; d0 is even then.
template <class T, class Element>
void copy_windows(const Windows<T>& windows, int64_t first, int64_t count, int64_t d0, int64_t d1, Element* to,
                  int64_t to_row);
// The same, but a pair is of two adjacent numbers of a column: row i of `to` has rows 2i and 2i + 1.
template <class T, class Element>
void stack_windows(const Windows<T>& windows, int64_t first, int64_t count, int64_t d0, int64_t d1, Element* to,
                   int64_t to_row);

// Weights for a grid of taps: tap (i,j), of an output and an input channel, is
// w[output * output_stride + input * input_stride + first + i * h_stride + j * w_stride].
template <class T>
struct TapWeights {
  const T* w;
  int64_t outputs, inputs;  // channels
  int64_t output_stride, input_stride;
  int64_t taps_h, taps_w;
  int64_t first, h_stride, w_stride;

  int64_t depth() const { return taps_h * taps_w * inputs; }
};
// Panels [outputs / columns][tap and input][columns], zero beyond the last output. Runs in parallel.
template <class T, class Element>
void pack_weights(const TapWeights<T>& weights, int64_t columns, Element* to);

// Two rows of n numbers as one of pairs.
void stack(const bf16* upper, const bf16* lower, int64_t n, Bf16Pair* to);

// A matrix [rows, k] as panels [k / columns][rows][columns], zero beyond the last k. A pair is of two adjacent numbers
// of a column.
template <class T, class Element>
void pack_rows(const T* from, int64_t rows, int64_t k, int64_t columns, Element* to);

}  // namespace rt::cpu
