// What rows made of vector kernels have in common: values in f32 or bf16, what belongs to a channel f32; what is 4-d
// must be NHWC, but for the element-wise ones. Such a row is a template over an instruction set's kernels
// (kernels/isa.hpp).
#pragma once
#include <string>
#include <type_traits>
#include <utility>

#include "core/step.hpp"

namespace rt::cpu {

std::string refuse_all_but_f32_bf16(const Problem& problem);
std::string refuse_all_but_f32_bf16_nhwc(const Problem& problem);

// with_storage(view, [&](auto zero) { using T = decltype(zero); ... kernels_of<T>(kernels).add(...) }), T = float or
// bf16.
template <class F>
auto with_storage(const Spec& spec, F&& f) {
  if (spec.dtype == DType::bf16) return f(bf16{});
  return f(float{});
}
template <class F>
auto with_storage(const View& view, F&& f) {
  return with_storage(view.spec, std::forward<F>(f));
}
template <class T, class Kernels>
const auto& kernels_of(const Kernels& kernels) {
  if constexpr (std::is_same_v<T, bf16>)
    return kernels.of_bf16;
  else
    return kernels.of_f32;
}

constexpr int64_t min_parallel = 1 << 15;  // elements; below, waking the threads costs more than it saves

// Whether out[i] is so large and so new that it is best written past the caches. Does not change a bit of it.
bool streams(const Args& a, size_t i);

}  // namespace rt::cpu
