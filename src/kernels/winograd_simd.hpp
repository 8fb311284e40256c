// Winograd's F(4x4,3x3) for stride 1 and padding 1 (Lavin & Gray, "Fast algorithms for convolutional neural networks",
// 2016), at the points {0, 1, -1, 1/2, -2, infinity} (Barabasz et al., "Error analysis and improving the accuracy of
// Winograd convolution", 2018). An image [h,w,c] is covered by 4x4 tiles of its output; a tile sees a 6x6 window:
//   Y = A^T [ (B^T d B) . (G w G^T) ] A        36 multiplications for 16 outputs, which directly are 144
// Each of the 36 points is a matrix product of its own: M_e[tiles, k] = V_e[tiles, c] * U_e[c, k]. The backward pass is the
// exact adjoint of that: dM = A dY A^T once, then dV_e = dM_e U_e^T, dU_e = V_e^T dM_e, dX = B dV B^T, dW = G^T dU G.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace rt {

struct WinogradGrid {  // of images [h, w, channels] in NHWC
  int64_t h, w, channels;
  int64_t rows() const { return (h + 3) / 4; }
  int64_t columns() const { return (w + 3) / 4; }
  int64_t tiles() const { return rows() * columns(); }  // per image
};

// `tiles` tiles from tile `first` of the whole batch, and their channels [channel, channel + channels), a multiple of 16.
struct WinogradPart {
  int64_t first, tiles, channel, channels;
};

// 36 matrices of f32: point e, tile t (0 is the part's first), channel c at data[e * plane + t * row + c].
struct WinogradPlanes {
  float* data;
  int64_t plane, row;
};

struct WinogradKernels {
  void (*windows)(const WinogradGrid&, const WinogradPart&, const float* x, WinogradPlanes v);     // V = B^T d B
  void (*outputs)(const WinogradGrid&, const WinogradPart&, WinogradPlanes m, float* y);           // Y = A^T M A
  void (*gradients)(const WinogradGrid&, const WinogradPart&, const float* dy, WinogradPlanes m);  // dM = A dY A^T
  // dX = B dV B^T. Windows overlap: tiles of an image must come in order. What the first tile that reaches a pixel gives
  // is stored, the rest is added.
  void (*input_gradients)(const WinogradGrid&, const WinogradPart&, WinogradPlanes v, float* dx);

  // A panel of U = G w G^T: 36 planes of [depth][columns] floats, `plane` apart. The 3x3 filter of (column j, depth i)
  // lies at w[j * column_stride + i * depth_stride]; columns from `count` on become zero.
  void (*weights)(const float* w, int64_t column_stride, int64_t depth_stride, int64_t count, int64_t depth, float* u,
                  int64_t plane);
  // The way back, dW = G^T dU G. dU(e, i, j) lies at du[e * plane + i * row + j], for j < count, a multiple of 16, and is
  // the sum of `chunks` such arrays chunk_stride apart, added in order.
  void (*weight_gradients)(const float* du, int64_t plane, int64_t row, int64_t chunks, int64_t chunk_stride,
                           int64_t column_stride, int64_t depth_stride, int64_t count, int64_t depth, float* dw);
};

#ifdef RT_HAVE_AVX512
namespace avx512 {
extern const WinogradKernels winograd_kernels;
}
#endif
#ifdef RT_HAVE_AVX2
namespace avx2 {
extern const WinogradKernels winograd_kernels;
}
#endif
namespace baseline {
extern const WinogradKernels winograd_kernels;
}

}  // namespace rt
