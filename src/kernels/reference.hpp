// For reference rows: run a template on the element type that a view has at run time.
#pragma once
#include "core/tensor.hpp"

namespace rt {

// with_type(view, [&](auto zero) { using T = decltype(zero); ... });
template <class F>
void with_type(const View& view, F&& f) {
  if (view.spec.dtype == DType::f64) return f(double{});
  if (view.spec.dtype == DType::f32) return f(float{});
  fail(ExitCode::runtime, "the reference kernels work in f32 and f64, not {}", name_of(view.spec.dtype));
}

}  // namespace rt
