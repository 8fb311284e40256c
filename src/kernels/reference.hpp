// For reference rows: run a template on the element type that a view has at run time. Halves convert to f32 wherever
// they are computed with; statistics and one-dimensional parameters beside them are f32.
#pragma once
#include <type_traits>

#include "core/tensor.hpp"

namespace rt {

template <class T>
constexpr bool is_half = std::is_same_v<T, f16> || std::is_same_v<T, bf16>;
template <class T>
using Computed = std::conditional_t<is_half<T>, float, T>;  // the type to compute in, and of statistics

// with_type(view, [&](auto zero) { using T = decltype(zero); ... });
template <class F>
void with_type(const View& view, F&& f) {
  if (view.spec.dtype == DType::f64) return f(double{});
  if (view.spec.dtype == DType::f32) return f(float{});
  if (view.spec.dtype == DType::f16) return f(f16{});
  if (view.spec.dtype == DType::bf16) return f(bf16{});
  fail(ExitCode::runtime, "the reference kernels work on floating-point numbers, not on {}", name_of(view.spec.dtype));
}

}  // namespace rt
