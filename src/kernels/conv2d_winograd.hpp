// 3x3 convolution of stride 1 or 2 and padding 1 by Winograd's algorithm (kernels/winograd_simd.hpp): f32 or bf16 in memory,
// f32 arithmetic, activations [N,H,W,C] in memory (nhwc), weights OIHW, channels in multiples of 16. Relative error about
// 2e-6 (L2) before results are rounded.
// Steps: conv2d.forward, conv2d.dx, conv2d.dw, and fused (rules in table.cpp):
//   conv2d.backward: dy x w -> dx dw                     transforms dy only once
//   conv2d.forward_stats: x w -> y mean rstd var         batch_norm.stats of y, from the tiles in registers
#pragma once
#include <functional>

#include "kernels/batch_norm.hpp"
#include "kernels/conv2d.hpp"
#include "kernels/gemm_simd.hpp"
#include "kernels/winograd_simd.hpp"

namespace rt::cpu {

namespace winograd {
struct Kernels {
  const WinogradSet& transforms;
  const GemmKernels& gemm;
  int64_t block = 0;  // tiles, of blocks(); 0: the first of them
};
struct Stats {  // of y, as batch_norm.stats defines them: [K] each
  double eps;
  float *mean, *rstd, *var;
};
// T: float or bf16. `workspace`: 64-byte aligned, of the bytes that the function below says for as many threads as are in
// use then.
template <class T>
void forward(const Kernels& kernels, const Conv2dShape& s, const T* x, const T* w, T* y, const Stats* stats,
             void* workspace);  // stats may be null
template <class T>
void backward(const Kernels& kernels, const Conv2dShape& s, const T* dy, const T* x, const T* w, T* dx, T* dw,
              void* workspace);  // dx or dw may be null, then w or x may be too
template <class T>
size_t forward_bytes(const Kernels& kernels, const Conv2dShape& s, bool stats);
template <class T>
size_t backward_bytes(const Kernels& kernels, const Conv2dShape& s, bool dx, bool dw);

// How many tiles may pass through a cache at a time: a choice that changes no bit, since each sum runs over the tiles in order.
struct Blocks {
  std::vector<int64_t> sizes;  // the usual one first, others where they take little more workspace; none: no choice
  size_t bytes;                // of workspace, enough for every one of them
};
Blocks blocks(const Conv2dShape& s, const std::function<size_t(int64_t block)>& bytes);

// f(T()) with the type that x is stored as.
template <class F>
auto with_stored(const Spec& x, F&& f) {
  return x.dtype == DType::bf16 ? f(bf16()) : f(float());
}
}  // namespace winograd

template <const WinogradSet& transforms, const GemmKernels& gemm>
struct Conv2dWinograd {
  static constexpr winograd::Kernels kernels(int64_t block) { return {transforms, gemm, block}; }

  static void forward(const Args& a) { run_forward(a, nullptr); }
  static void forward_stats(const Args& a) {
    const winograd::Stats stats{batch_norm_attrs(a.last_op).eps, a.out[1].as<float>(), a.out[2].as<float>(),
                                a.out[3].as<float>()};
    run_forward(a, &stats);
  }
  static void dx(const Args& a) { run_backward(a, a.out[0].spec, a.in[1].spec, {}, a.in[1], a.out[0], {}); }
  static void dw(const Args& a) { run_backward(a, a.in[1].spec, a.out[0].spec, a.in[1], {}, {}, a.out[0]); }
  static void backward(const Args& a) {
    run_backward(a, a.in[1].spec, a.in[2].spec, a.in[1], a.in[2], a.out[0], a.out[1]);
  }

  static size_t forward_bytes(const Problem& p) { return forward_blocks(p, false).bytes; }
  static size_t forward_stats_bytes(const Problem& p) { return forward_blocks(p, true).bytes; }
  static size_t dx_bytes(const Problem& p) { return backward_blocks(p, p.out[0], p.in[1], true, false).bytes; }
  static size_t dw_bytes(const Problem& p) { return backward_blocks(p, p.in[1], p.out[0], false, true).bytes; }
  static size_t backward_bytes(const Problem& p) { return backward_blocks(p, p.in[1], p.in[2], true, true).bytes; }

  using Variants = std::vector<int64_t>;
  static Variants forward_variants(const Problem& p) { return forward_blocks(p, false).sizes; }
  static Variants forward_stats_variants(const Problem& p) { return forward_blocks(p, true).sizes; }
  static Variants dx_variants(const Problem& p) { return backward_blocks(p, p.out[0], p.in[1], true, false).sizes; }
  static Variants dw_variants(const Problem& p) { return backward_blocks(p, p.in[1], p.out[0], false, true).sizes; }
  static Variants backward_variants(const Problem& p) { return backward_blocks(p, p.in[1], p.in[2], true, true).sizes; }

 private:
  static void run_forward(const Args& a, const winograd::Stats* stats) {
    winograd::with_stored(a.in[0].spec, [&](auto type) {
      using T = decltype(type);
      winograd::forward(kernels(a.variant), conv2d_shape(a.op, a.in[0].spec, a.in[1].spec), a.in[0].template as<T>(),
                        a.in[1].template as<T>(), a.out[0].template as<T>(), stats, a.workspace);
    });
  }
  static void run_backward(const Args& a, const Spec& x_spec, const Spec& w_spec, const View& x, const View& w,
                           const View& dx, const View& dw) {
    winograd::with_stored(a.in[0].spec, [&](auto type) {
      using T = decltype(type);
      auto at = [](const View& v) { return static_cast<T*>(v.data); };
      winograd::backward<T>(kernels(a.variant), conv2d_shape(a.op, x_spec, w_spec), at(a.in[0]), at(x), at(w), at(dx),
                            at(dw), a.workspace);
    });
  }
  static winograd::Blocks forward_blocks(const Problem& p, bool stats) {
    const Conv2dShape s = conv2d_shape(p.op, p.in[0], p.in[1]);
    return winograd::blocks(s, [&](int64_t block) {
      return winograd::with_stored(
          p.in[0], [&](auto type) { return winograd::forward_bytes<decltype(type)>(kernels(block), s, stats); });
    });
  }
  static winograd::Blocks backward_blocks(const Problem& p, const Spec& x, const Spec& w, bool dx, bool dw) {
    const Conv2dShape s = conv2d_shape(p.op, x, w);
    auto bytes = [&](int64_t block) {
      return winograd::with_stored(
          p.in[0], [&](auto type) { return winograd::backward_bytes<decltype(type)>(kernels(block), s, dx, dw); });
    };
    // With stride 2 planes share a filter: dU sums them block by block, so its bits depend on the block.
    if (dw && s.stride == 2) return {{}, bytes(0)};
    return winograd::blocks(s, bytes);
  }
};

std::string refuse_winograd_forward(const Problem& p);
std::string refuse_winograd_forward_stats(const Problem& p);
std::string refuse_winograd_dx(const Problem& p);
std::string refuse_winograd_dw(const Problem& p);
std::string refuse_winograd_backward(const Problem& p);

}  // namespace rt::cpu
