// 3x3 convolution of stride 1 or 2 and padding 1 by Winograd's algorithm (kernels/winograd_simd.hpp): f32, activations
// [N,H,W,C] in memory (nhwc), weights OIHW, channels in multiples of 16. Relative error about 2e-6 (L2).
// Steps: conv2d.forward, conv2d.dx, conv2d.dw, and both of the latter at once, which transforms dy only once:
//   conv2d.backward: dy x w -> dx dw
#pragma once
#include <functional>

#include "kernels/conv2d.hpp"
#include "kernels/gemm_simd.hpp"
#include "kernels/winograd_simd.hpp"

namespace rt::cpu {

namespace winograd {
struct Kernels {
  const WinogradKernels &stride1, &stride2;
  const GemmKernels& gemm;
  int64_t block = 0;  // tiles, of blocks(); 0: the first of them
};
// `workspace`: 64-byte aligned, of the bytes that the function below says for as many threads as are in use then.
void forward(const Kernels& kernels, const Conv2dShape& s, const float* x, const float* w, float* y, void* workspace);
// dx or dw may be null, then x or w may be too.
void backward(const Kernels& kernels, const Conv2dShape& s, const float* dy, const float* x, const float* w, float* dx,
              float* dw, void* workspace);
size_t forward_bytes(const Kernels& kernels, const Conv2dShape& s);
size_t backward_bytes(const Kernels& kernels, const Conv2dShape& s, bool dx, bool dw);

// How many tiles may pass through a cache at a time: a choice that changes no bit, since each sum runs over the tiles in order.
struct Blocks {
  std::vector<int64_t>
      sizes;     // the usual one first, others where they take little more workspace; or nothing to choose
  size_t bytes;  // of workspace, enough for every one of them
};
Blocks blocks(const Conv2dShape& s, const std::function<size_t(int64_t block)>& bytes);
}  // namespace winograd

template <const WinogradKernels& stride1, const WinogradKernels& stride2, const GemmKernels& gemm>
struct Conv2dWinograd {
  static constexpr winograd::Kernels kernels(int64_t block) { return {stride1, stride2, gemm, block}; }
  static void forward(const Args& a) {
    winograd::forward(kernels(a.variant), conv2d_shape(a.op, a.in[0].spec, a.in[1].spec), a.in[0].as<float>(),
                      a.in[1].as<float>(), a.out[0].as<float>(), a.workspace);
  }
  static void dx(const Args& a) {
    winograd::backward(kernels(a.variant), conv2d_shape(a.op, a.out[0].spec, a.in[1].spec), a.in[0].as<float>(),
                       nullptr, a.in[1].as<float>(), a.out[0].as<float>(), nullptr, a.workspace);
  }
  static void dw(const Args& a) {
    winograd::backward(kernels(a.variant), conv2d_shape(a.op, a.in[1].spec, a.out[0].spec), a.in[0].as<float>(),
                       a.in[1].as<float>(), nullptr, nullptr, a.out[0].as<float>(), a.workspace);
  }
  static void backward(const Args& a) {
    winograd::backward(kernels(a.variant), conv2d_shape(a.op, a.in[1].spec, a.in[2].spec), a.in[0].as<float>(),
                       a.in[1].as<float>(), a.in[2].as<float>(), a.out[0].as<float>(), a.out[1].as<float>(),
                       a.workspace);
  }
  static size_t forward_bytes(const Problem& p) { return forward_blocks(p).bytes; }
  static size_t dx_bytes(const Problem& p) { return dx_blocks(p).bytes; }
  static size_t dw_bytes(const Problem& p) { return dw_blocks(p).bytes; }
  static size_t backward_bytes(const Problem& p) { return both_blocks(p).bytes; }
  static std::vector<int64_t> forward_variants(const Problem& p) { return forward_blocks(p).sizes; }
  static std::vector<int64_t> dx_variants(const Problem& p) { return dx_blocks(p).sizes; }
  static std::vector<int64_t> dw_variants(const Problem& p) { return dw_blocks(p).sizes; }
  static std::vector<int64_t> backward_variants(const Problem& p) { return both_blocks(p).sizes; }

 private:
  static winograd::Blocks forward_blocks(const Problem& p) {
    const Conv2dShape s = conv2d_shape(p.op, p.in[0], p.in[1]);
    return winograd::blocks(s, [&](int64_t block) { return winograd::forward_bytes(kernels(block), s); });
  }
  static winograd::Blocks dx_blocks(const Problem& p) { return backward_blocks(p, p.out[0], p.in[1], true, false); }
  static winograd::Blocks dw_blocks(const Problem& p) { return backward_blocks(p, p.in[1], p.out[0], false, true); }
  static winograd::Blocks both_blocks(const Problem& p) { return backward_blocks(p, p.in[1], p.in[2], true, true); }
  static winograd::Blocks backward_blocks(const Problem& p, const Spec& x, const Spec& w, bool dx, bool dw) {
    const Conv2dShape s = conv2d_shape(p.op, x, w);
    // With stride 2 planes share a filter: dU sums them block by block, so its bits depend on the block.
    if (dw && s.stride == 2) return {{}, winograd::backward_bytes(kernels(0), s, dx, dw)};
    return winograd::blocks(s, [&](int64_t block) { return winograd::backward_bytes(kernels(block), s, dx, dw); });
  }
};

std::string refuse_winograd_forward(const Problem& p);
std::string refuse_winograd_dx(const Problem& p);
std::string refuse_winograd_dw(const Problem& p);
std::string refuse_winograd_backward(const Problem& p);

}  // namespace rt::cpu
