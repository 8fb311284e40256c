// 3x3 in every way that Winograd's tiles can lie, 1x1, the stems' kernels, strides and no padding.
#include <algorithm>

#include "kernels/cases/operators.hpp"
#include "kernels/conv2d/conv2d.hpp"

namespace rt {
namespace {

OpCase conv_case(Shape x, int64_t k, int64_t size, Conv2dAttrs attrs) {
  const float bound = 1 / std::max(1.0f, 0.5f * static_cast<float>(size));
  return {"conv2d",
          rt::format("{} {}x{}/{} -> {}{}", x.str(), size, size, attrs.stride, k,
                     2 * attrs.pad + 1 == size ? "" : rt::format(" pad {}", attrs.pad)),
          {{"x", x}, {"w", {k, x.c(), size, size}, Role::parameter, Fill::uniform, -bound, bound}},
          [attrs](Tape& t, Vars v) { return conv2d(t, v[0], v[1], attrs); }};
}

}  // namespace

Cases conv2d_cases() {
  return {.small =
              {
                  conv_case({2, 3, 8, 8}, 8, 3, {1, 1}),
                  conv_case({2, 8, 9, 7}, 16, 3, {1, 1}),
                  conv_case({1, 33, 6, 5}, 35, 3, {1, 1}),
                  conv_case({2, 64, 4, 4}, 32, 3, {1, 1}),
                  conv_case({3, 6, 2, 1}, 5, 3, {1, 1}),
                  conv_case({2, 4, 6, 5}, 9, 3, {1, 0}),
                  conv_case({2, 5, 9, 7}, 6, 3, {2, 1}),
                  conv_case({2, 16, 8, 8}, 32, 3, {2, 1}),
                  conv_case({2, 4, 7, 5}, 19, 1, {1, 0}),
                  conv_case({2, 8, 8, 8}, 16, 1, {2, 0}),
                  conv_case({2, 5, 7, 9}, 6, 1, {2, 0}),
                  conv_case({2, 3, 15, 13}, 8, 7, {2, 3}),
              },
          .larger = {
              conv_case({3, 64, 12, 12}, 64, 3, {1, 1}),
              conv_case({19, 32, 14, 10}, 16, 3, {1, 1}),
              conv_case({7, 16, 30, 30}, 16, 3, {1, 1}),
              conv_case({2, 80, 5, 6}, 144, 3, {1, 1}),
              conv_case({3, 64, 12, 12}, 128, 3, {2, 1}),
              conv_case({1, 3, 64, 60}, 64, 7, {2, 3}),
          }};
}

}  // namespace rt
