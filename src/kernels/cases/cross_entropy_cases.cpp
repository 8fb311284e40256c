#include "kernels/cases/operators.hpp"
#include "kernels/cross_entropy/cross_entropy.hpp"

namespace rt {
namespace {

OpCase cross_entropy_case(int64_t n, int64_t k, double smoothing) {
  return {"cross_entropy",
          rt::format("[{},{}] smoothing {}", n, k, smoothing),
          {{"logits", {n, k}, Role::activation, Fill::uniform, -3, 3},
           {"labels", {n}, Role::labels, Fill::uniform, 0, static_cast<float>(k)}},
          [smoothing](Tape& t, Vars v) { return cross_entropy(t, v[0], v[1], smoothing).loss; }};
}

}  // namespace

Cases cross_entropy_cases() {
  return {.small = {cross_entropy_case(5, 7, 0), cross_entropy_case(5, 7, 0.1), cross_entropy_case(4, 3, 0.1)},
          .larger = {cross_entropy_case(37, 1000, 0.1)}};
}

}  // namespace rt
