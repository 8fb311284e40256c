#include "kernels/augment/augment.hpp"
#include "kernels/cases/operators.hpp"

namespace rt {
namespace {

OpCase augment_case(Shape pixels, int64_t n, AugmentAttrs attrs) {
  const float stored = static_cast<float>(pixels.n());
  return {"augment",
          rt::format("{} of {} {} {}", n, pixels.str(), name_of(attrs.dtype), name_of(attrs.layout)),
          {{"pixels", pixels, Role::bytes},
           {"rows", {n}, Role::labels, Fill::uniform, 0, stored},
           {"samples", {n}, Role::labels, Fill::uniform, 0, 50000},
           {"epoch", {1}, Role::labels, Fill::uniform, 0, 90},
           {"table", {3, 256}, Role::state, Fill::uniform, -2, 2}},
          [attrs](Tape& t, Vars v) { return augment(t, v[0], v[1], v[2], v[3], v[4], attrs); },
          false};
}

AugmentAttrs at_random(int crop_padding, bool flip, uint64_t seed, DType dtype, Layout layout) {
  return {
      .crop_padding = crop_padding,
      .flip = flip,
      .random = true,
      .seed = seed,
      .dtype = dtype,
      .layout = layout,
  };
}

}  // namespace

Cases augment_cases() {
  return {.small =
              {
                  augment_case({4, 3, 6, 9}, 5, {.dtype = DType::f32}),
                  augment_case({4, 3, 6, 9}, 5, at_random(2, true, 9, DType::f32, Layout::nhwc)),
                  augment_case({7, 3, 8, 8}, 3, at_random(4, true, 9, DType::f16, Layout::nhwc)),
                  augment_case({7, 3, 5, 7}, 3, at_random(9, true, 9, DType::f16, Layout::nchw)),
                  augment_case({2, 3, 8, 8}, 9, at_random(0, true, 9, DType::bf16, Layout::nchw)),
                  augment_case({2, 3, 9, 6}, 4, at_random(3, false, 9, DType::bf16, Layout::nhwc)),
              },
          .larger = {augment_case({3, 3, 64, 56}, 3, at_random(8, true, 1, DType::bf16, Layout::nhwc))}};
}

}  // namespace rt
