#include "kernels/cases/operators.hpp"
#include "kernels/elementwise/elementwise.hpp"

namespace rt {
namespace {

OpCase relu_case(Shape x) {
  return {"relu", x.str(), {{"x", x, Role::activation, Fill::off_zero, 0.1f, 1}}, [](Tape& t, Vars v) {
            return relu(t, v[0]);
          }};
}
OpCase add_case(Shape x) {
  return {"add", x.str(), {{"a", x}, {"b", x}}, [](Tape& t, Vars v) { return add(t, v[0], v[1]); }};
}
OpCase fan_out_case(Shape x) {  // two gradients meet in one value: the tape's `accumulate`
  return {"add", x.str() + " x + x", {{"x", x}}, [](Tape& t, Vars v) { return add(t, v[0], v[0]); }};
}
OpCase layout_case(Shape x) {
  return {"layout", x.str(), {{"x", x}}, [](Tape& t, Vars v) {
            const Spec& s = t.spec(v[0]);
            return convert(t, v[0], s.dtype, s.layout == Layout::nchw ? Layout::nhwc : Layout::nchw);
          }};
}
OpCase casts_case(Shape a, Shape b, Shape c) {
  return {"layout",
          rt::format("{} {} {} in another type", a.str(), b.str(), c.str()),
          {{"a", a}, {"b", b}, {"c", c}},
          [](Tape& t, Vars v) {
            Var last;
            for (Var x : v) {
              const Spec& s = t.spec(x);
              last = convert(t, x, s.dtype == DType::f32 ? DType::bf16 : DType::f32, s.layout);
            }
            return last;
          },
          false};
}

}  // namespace

Cases elementwise_cases() {
  return {.small =
              {
                  relu_case({2, 5, 4, 3}),
                  relu_case({3, 33, 7, 5}),
                  add_case({2, 5, 4, 3}),
                  add_case({3, 33, 7, 5}),
                  fan_out_case({2, 5, 4, 3}),
                  layout_case({2, 5, 4, 3}),
                  casts_case({2, 5, 4, 3}, {3, 7, 21, 13}, {1, 1, 1, 3}),
              },
          .larger = {
              relu_case({8, 64, 17, 16}),
              fan_out_case({8, 64, 17, 16}),
          }};
}

}  // namespace rt
