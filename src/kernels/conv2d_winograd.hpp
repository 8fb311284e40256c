// 3x3 convolution of stride 1 or 2 and padding 1 by Winograd's algorithm (kernels/winograd_simd.hpp): f32 or bf16 in memory,
// f32 arithmetic, activations [N,H,W,C] in memory (nhwc), weights OIHW, channels in multiples of 16. Relative error about
// 2e-6 (L2) before results are rounded. Steps: every kind of kernels/conv2d_fusion.hpp; conv2d.backward transforms dy once.
#pragma once
#include <functional>

#include "kernels/batch_norm.hpp"
#include "kernels/conv2d.hpp"
#include "kernels/conv2d_fusion.hpp"
#include "kernels/gemm_simd.hpp"
#include "kernels/nhwc_rows.hpp"
#include "kernels/winograd_simd.hpp"

namespace rt::cpu {

namespace winograd {
struct Kernels {
  const WinogradSet& transforms;
  const GemmKernels& gemm;
  const BatchNormKernels& batch_norm;
  int64_t block = 0;  // tiles, of blocks(); 0: the first of them
};

// How many tiles may pass through a cache at a time: a choice that changes no bit, since each sum runs over the tiles in order.
struct Blocks {
  std::vector<int64_t> sizes;  // the usual one first, others where they take little more workspace; none: no choice
  size_t bytes;                // of workspace, enough for every one of them
};
Blocks blocks(const Kernels& kernels, const Conv2dFusion& f, const rt::Problem& p);

// Reads the operands of a step where they stand, and runs it.
void run(const Kernels& kernels, const Conv2dFusion& f, const Args& a);
std::string refuse(const Conv2dFusion& f, const rt::Problem& p);
}  // namespace winograd

template <const WinogradSet& transforms, const GemmKernels& gemm, const BatchNormKernels& batch_norm, Conv2dFusion f>
struct Conv2dWinograd {
  static constexpr winograd::Kernels kernels(int64_t block) { return {transforms, gemm, batch_norm, block}; }
  static std::string refuse(const Problem& p) { return winograd::refuse(f, p); }
  static void run(const Args& a) { winograd::run(kernels(a.variant), f, a); }
  static size_t bytes(const Problem& p) { return winograd::blocks(kernels(0), f, p).bytes; }
  static std::vector<int64_t> variants(const Problem& p) { return winograd::blocks(kernels(0), f, p).sizes; }
};

}  // namespace rt::cpu
