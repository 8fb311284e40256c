#include "kernels/cases/operators.hpp"
#include "kernels/linear/linear.hpp"

namespace rt {
namespace {

OpCase linear_case(int64_t n, int64_t c, int64_t k) {
  return {"linear",
          rt::format("[{},{}] -> {}", n, c, k),
          {{"x", {n, c}}, {"w", {k, c}, Role::parameter}, {"bias", {k}, Role::parameter}},
          [](Tape& t, Vars v) { return linear(t, v[0], v[1], v[2]); }};
}

}  // namespace

Cases linear_cases() {
  return {.small = {linear_case(5, 7, 3), linear_case(6, 64, 10)}, .larger = {linear_case(33, 512, 100)}};
}

}  // namespace rt
