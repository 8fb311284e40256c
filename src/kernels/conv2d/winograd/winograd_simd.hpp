// Winograd's convolution (Lavin & Gray, "Fast algorithms for convolutional neural networks", 2016) with 3x3 filters and
// padding 1, by tiles of 4x4 outputs. A line of 4 outputs is a product of polynomials, evaluated at points (Barabasz et
// al., "Error analysis and improving the accuracy of Winograd convolution", 2018):
//   stride 1: F(4,3) at {0, 1, -1, 1/2, -2, infinity}. A window of 6 pixels gives 6 values, so that 16 outputs take 36
//             products; directly they take 144.
//   stride 2: the odd pixels of a window of 9 meet the outer two taps, F(4,2) at {0, 1, -1, 1/2, infinity}, and the
//             even ones meet the middle tap, as they are: 9 values, 81 products. The 4 even pixels share a filter, so
//             that U has 6 values a line too.
// In two dimensions  Y = A^T [ (B^T d B) . (G w G^T) ] A,  and each value of a window (a plane below) is a matrix
// product of its own: M[tiles, k] = V[tiles, c] * U[c, k]. The backward pass is the exact adjoint of that: once
// dM = A dY A^T, then dV = dM U^T, dU = V^T dM, dX = B dV B^T, dW = G^T dU G.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "core/half.hpp"

namespace rt {

// Images [h, w, channels] in NHWC, covered by rows x columns tiles each.
struct WinogradGrid {
  int64_t h, w, channels;
  int64_t rows, columns;
  int64_t tiles() const { return rows * columns; }  // per image
};

// `tiles` tiles from tile `first` of the whole batch, and of their channels, in multiples of 16, `channels` from
// `channel` on.
struct WinogradPart {
  int64_t first, tiles, channel, channels;
};

// Matrices of f32: value (r, q) of tile t (0 is the part's first) and channel c at
// data[(r * values + q) * plane + t * row + c], r and q < values.
struct WinogradPlanes {
  float* data;
  int64_t plane, row;
};

// What a pixel x of the source counts as: relu(x * scale[c] + shift[c]), or x itself where scale is null.
struct WinogradOnLoad {
  const float *scale = nullptr, *shift = nullptr;
};

// What dy counts as, where x is not null: the gradient that a batch norm of x and the ReLU after it make of dy,
//   scale * ((d - mean_dy) - (x - mean) * slope),   by channel.
// Here d is dy where the ReLU let the element through, and 0 elsewhere. The ReLU let it through if z, its output, is
// positive; where z is null, if x * scale + shift is. The image `d`, where it is not null, gets d.
template <class T>
struct WinogradBatchNorm {
  const T *x = nullptr, *z = nullptr;
  T* d = nullptr;
  const float *mean = nullptr, *scale = nullptr, *shift = nullptr, *mean_dy = nullptr, *slope = nullptr;
};

// Images and weights lie in memory as T, f32 or bf16; all else is f32.
template <class T>
struct WinogradKernels {
  int values;  // of a line: 6 or 9
  int step;    // pixels of the source from one tile to the next: 4 or 8
  // V = B^T d B
  void (*windows)(const WinogradGrid&, const WinogradPart&, const T* x, const WinogradOnLoad&, WinogradPlanes v);
  // dM = A dY A^T
  void (*gradients)(const WinogradGrid&, const WinogradPart&, const T* dy, const WinogradBatchNorm<T>&,
                    WinogradPlanes m);
  // Y = A^T M A. Where `sums` is not null, sums[(n * 3 + i) * channels + c] of image n become: its first output (i is
  // 0), the sum of its outputs' distances from that (1), and the sum of their squares (2). Tiles of an image must come
  // in order then.
  void (*outputs)(const WinogradGrid&, const WinogradPart&, WinogradPlanes m, T* y, float* sums);
  // dX = B dV B^T. Windows overlap, so tiles of an image must come in order. What the first tile that reaches a pixel
  // gives is stored, what later ones give is added; with `add` all of it is added to what is there.
  void (*input_gradients)(const WinogradGrid&, const WinogradPart&, WinogradPlanes v, float* dx, bool add);
  // Converts some channels of `pixels` pixels to T, and adds `other` where that is not null; `to` may be `from` or
  // `other`.
  void (*convert)(const float* from, const T* other, T* to, int64_t pixels, int64_t channels_apart, int64_t channels);

  // A panel of U = G w G^T: 36 planes of [depth][columns] floats, `plane` apart. The 3x3 filter of (column j, depth i)
  // lies at w[j * column_stride + i * depth_stride]; columns from `count`, a multiple of 8, on become zero.
  void (*weights)(const T* w, int64_t column_stride, int64_t depth_stride, int64_t count, int64_t depth, float* u,
                  int64_t plane);
  // The way back, dW = G^T dU G. dU(e, i, j) lies at du[e * plane + i * row + j], for j < count, a multiple of 8 and of
  // a vector's length, and is the sum of `chunks` such arrays chunk_stride apart, added in order.
  void (*weight_gradients)(const float* du, int64_t plane, int64_t row, int64_t chunks, int64_t chunk_stride,
                           int64_t column_stride, int64_t depth_stride, int64_t count, int64_t depth, T* dw);
};

// The kernels of one instruction set.
struct WinogradSet {
  WinogradKernels<float> f32_stride1, f32_stride2;
  WinogradKernels<bf16> bf16_stride1, bf16_stride2;
  template <class T>
  const WinogradKernels<T>& of(int stride) const {
    if constexpr (sizeof(T) == sizeof(float))
      return stride == 1 ? f32_stride1 : f32_stride2;
    else
      return stride == 1 ? bf16_stride1 : bf16_stride2;
  }
};

}  // namespace rt
