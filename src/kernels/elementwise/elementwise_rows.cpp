// Element-wise values of any layout, in pieces of 32 or 64 KiB, and what rows of vector kernels have in common.
#include <algorithm>

#include "kernels/simd/nhwc_rows.hpp"

namespace rt::cpu {
namespace {

std::string refuse(const Problem& problem, bool any_layout) {
  for (const auto& specs : {problem.in, problem.out})
    for (const Spec& spec : specs) {
      if (spec.dtype != DType::f32 && spec.dtype != DType::bf16 && spec.dtype != DType::u8)
        return rt::format("needs f32 or bf16, not {}", name_of(spec.dtype));
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

std::string refuse_all_but_f32_bf16(const Problem& problem) { return refuse(problem, true); }
std::string refuse_all_but_f32_bf16_nhwc(const Problem& problem) { return refuse(problem, false); }

bool streams(const Args& a, size_t i) {
  constexpr size_t enough = 24u << 20;  // bytes: more than a few cores find in their last-level cache
  const View& out = a.out[i];
  const bool in_place = std::any_of(a.in.begin(), a.in.end(), [&](const View& in) { return in.data == out.data; });
  const bool whole_lines =
      reinterpret_cast<uintptr_t>(out.data) % 64 == 0 &&
      (out.shape().rank() != 4 || static_cast<size_t>(out.shape().c()) * size_of(out.spec.dtype) % 64 == 0);
  return out.spec.bytes() >= enough && !in_place && whole_lines;
}

template <const ElementwiseKernels& kernels>
void ElementwiseRows<kernels>::relu_forward(const Args& a) {
  with_storage(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    const T* x = a.in[0].as<T>();
    T* y = a.out[0].as<T>();
    const bool stream = streams(a, 0);
    each_piece(a.in[0].numel(), [&](int64_t at, int64_t n) { kernels_of<T>(kernels).relu(x + at, y + at, n, stream); });
  });
}

template <const ElementwiseKernels& kernels>
void ElementwiseRows<kernels>::relu_backward(const Args& a) {
  with_storage(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    const T *dy = a.in[0].as<T>(), *y = a.in[1].as<T>();
    T* dx = a.out[0].as<T>();
    const bool stream = streams(a, 0);
    each_piece(a.in[0].numel(), [&](int64_t at, int64_t n) {
      kernels_of<T>(kernels).relu_backward(dy + at, y + at, dx + at, n, stream);
    });
  });
}

template <const ElementwiseKernels& kernels>
void ElementwiseRows<kernels>::add(const Args& a) {
  const bool stream = streams(a, 0);
  auto sum = [&]<class T, class B>(T* y, const T* p, const B* q, auto kernel) {
    each_piece(a.in[0].numel(), [&](int64_t at, int64_t n) { kernel(p + at, q + at, y + at, n, stream); });
  };
  if (a.in[0].spec.dtype == DType::f32 && a.in[1].spec.dtype == DType::bf16)  // gradients of weights that accumulate
    return sum(a.out[0].as<float>(), a.in[0].as<float>(), a.in[1].as<bf16>(), kernels.add_bf16);
  with_storage(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    sum(a.out[0].as<T>(), a.in[0].as<T>(), a.in[1].as<T>(), kernels_of<T>(kernels).add);
  });
}

RT_FOR_EACH_ISA(ElementwiseRows, elementwise_kernels)

}  // namespace rt::cpu
