// Element-wise f32 values of any layout, in pieces of 64 KiB, and what rows of vector kernels have in common.
#include <algorithm>

#include "kernels/nhwc_rows.hpp"

namespace rt::cpu {
namespace {

std::string refuse(const Problem& problem, bool any_layout) {
  for (const auto& specs : {problem.in, problem.out})
    for (const Spec& spec : specs) {
      if (spec.dtype != DType::f32 && spec.dtype != DType::u8)
        return fmt::format("needs f32, not {}", name_of(spec.dtype));
      if (!any_layout && spec.shape.rank() == 4 && spec.layout != Layout::nhwc) return "needs nhwc";
    }
  return "";
}

// f(first element, number of elements) in parallel; a piece begins on a cache line.
template <class F>
void each_piece(int64_t n, F&& f) {
  constexpr int64_t piece = 1 << 14;
#pragma omp parallel for schedule(static) if (n >= min_parallel)
  for (int64_t begin = 0; begin < n; begin += piece) f(begin, std::min(piece, n - begin));
}

}  // namespace

std::string refuse_all_but_f32(const Problem& problem) { return refuse(problem, true); }
std::string refuse_all_but_f32_nhwc(const Problem& problem) { return refuse(problem, false); }

bool streams(const Args& a, size_t i) {
  constexpr size_t enough = 24u << 20;  // bytes: more than a few cores find in their last-level cache
  const View& out = a.out[i];
  const bool in_place = std::any_of(a.in.begin(), a.in.end(), [&](const View& in) { return in.data == out.data; });
  const bool whole_lines =
      reinterpret_cast<uintptr_t>(out.data) % 64 == 0 && (out.shape().rank() != 4 || out.shape().c() % 16 == 0);
  return out.spec.bytes() >= enough && !in_place && whole_lines;
}

template <const ElementwiseKernels& kernels>
void ElementwiseRows<kernels>::relu_forward(const Args& a) {
  const float* x = a.in[0].as<float>();
  float* y = a.out[0].as<float>();
  const bool stream = streams(a, 0);
  each_piece(a.in[0].numel(), [&](int64_t at, int64_t n) { kernels.relu(x + at, y + at, n, stream); });
}

template <const ElementwiseKernels& kernels>
void ElementwiseRows<kernels>::relu_backward(const Args& a) {
  const float *dy = a.in[0].as<float>(), *y = a.in[1].as<float>();
  float* dx = a.out[0].as<float>();
  const bool stream = streams(a, 0);
  each_piece(a.in[0].numel(),
             [&](int64_t at, int64_t n) { kernels.relu_backward(dy + at, y + at, dx + at, n, stream); });
}

template <const ElementwiseKernels& kernels>
void ElementwiseRows<kernels>::add(const Args& a) {
  const float *p = a.in[0].as<float>(), *q = a.in[1].as<float>();
  float* y = a.out[0].as<float>();
  const bool stream = streams(a, 0);
  each_piece(a.in[0].numel(), [&](int64_t at, int64_t n) { kernels.add(p + at, q + at, y + at, n, stream); });
}

RT_FOR_EACH_ISA(ElementwiseRows, elementwise_kernels)

}  // namespace rt::cpu
