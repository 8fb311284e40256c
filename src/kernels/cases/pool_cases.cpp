#include "kernels/cases/operators.hpp"
#include "kernels/pool/pool.hpp"

namespace rt {
namespace {

OpCase max_pool_case(Shape x, MaxPoolAttrs attrs) {
  return {"max_pool",
          rt::format("{} {}x{}/{}", x.str(), attrs.kernel, attrs.kernel, attrs.stride),
          {{"x", x, Role::activation, Fill::distinct}},
          [attrs](Tape& t, Vars v) { return max_pool(t, v[0], attrs); }};
}
OpCase avg_pool_case(Shape x) {
  return {"global_avg_pool", x.str(), {{"x", x}}, [](Tape& t, Vars v) { return global_avg_pool(t, v[0]); }};
}

}  // namespace

Cases pool_cases() {
  return {.small =
              {
                  max_pool_case({2, 5, 7, 6}, {}),
                  max_pool_case({2, 16, 6, 6}, {2, 2, 0}),
                  max_pool_case({2, 8, 5, 6}, {3, 1, 1}),
                  max_pool_case({1, 4, 9, 8}, {2, 3, 0}),
                  avg_pool_case({3, 5, 4, 3}),
                  avg_pool_case({2, 24, 7, 7}),
                  avg_pool_case({2, 64, 4, 4}),
              },
          .larger = {max_pool_case({4, 64, 32, 30}, {})}};
}

}  // namespace rt
