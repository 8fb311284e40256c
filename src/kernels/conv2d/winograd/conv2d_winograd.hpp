// 3x3 convolution of stride 1 or 2 and padding 1 by Winograd's algorithm (winograd_simd.hpp has the mathematics): f32
// or bf16 in memory, f32 arithmetic, activations [N,H,W,C] in memory (nhwc), weights OIHW, channels in multiples of 16.
// The relative error is about 2e-6 (L2) before results are rounded. Steps: every kind of conv2d_fusion.hpp;
// conv2d.backward transforms dy once.
#pragma once
#include "kernels/batch_norm/batch_norm.hpp"
#include "kernels/batch_norm/batch_norm_simd.hpp"
#include "kernels/conv2d/conv2d.hpp"
#include "kernels/conv2d/conv2d_fusion.hpp"
#include "kernels/conv2d/winograd/winograd_simd.hpp"
#include "kernels/gemm/gemm_simd.hpp"
#include "kernels/simd/rows.hpp"

namespace rt {
// Multiply-adds of Winograd's algorithm over those of the definition: 36/144 with stride 1 and 81/144 with stride 2,
// more where tiles reach beyond the edge of the output.
double winograd_share(const Conv2dShape& shape);
}  // namespace rt

namespace rt::cpu {

namespace winograd {
struct Kernels {
  const WinogradSet& transforms;
  const GemmKernels& gemm;
  const BatchNormKernels& batch_norm;
  Variant variant = {};  // block: tiles; the usual one where it is 0
};

// How many tiles may pass through a cache at a time changes no bit, since each sum runs over the tiles in order.
struct Variants {
  std::vector<Variant> list;  // the usual one first; other blocks where they take little more workspace
  size_t bytes;               // of workspace, enough for every one of them
};
Variants variants(const Kernels& kernels, const Problem& p);

void run(Kernels kernels, const Args& a);
std::string refuse(const Problem& p);
}  // namespace winograd

// Rows of every kind of convolution by one instruction set's kernels.
template <const WinogradSet& transforms, const GemmKernels& gemm, const BatchNormKernels& batch_norm>
struct Conv2dWinograd {
  static constexpr winograd::Kernels kernels(Variant variant) { return {transforms, gemm, batch_norm, variant}; }
  static void run(const Args& a) { winograd::run(kernels(a.variant), a); }
  static size_t bytes(const Problem& p) { return winograd::variants(kernels({}), p).bytes; }
  static std::vector<Variant> variants(const Problem& p) { return winograd::variants(kernels({}), p).list; }
};

}  // namespace rt::cpu
