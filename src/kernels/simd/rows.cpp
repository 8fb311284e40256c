#include "kernels/simd/rows.hpp"

#include <algorithm>

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

}  // namespace rt::cpu
