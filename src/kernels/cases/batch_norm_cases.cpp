// Batch norm alone, with what it is fused with, and behind a convolution.
#include "kernels/batch_norm/batch_norm.hpp"
#include "kernels/cases/operators.hpp"
#include "kernels/conv2d/conv2d.hpp"
#include "kernels/elementwise/elementwise.hpp"

namespace rt {
namespace {

// off_zero inputs, gamma well above beta and skip: the normalised values keep their distance from relu's kink too.
std::vector<CaseInput> bn_inputs(Shape x) {
  const Shape c{x.c()};
  return {{"x", x, Role::activation, Fill::off_zero, 1, 2},
          {"gamma", c, Role::parameter, Fill::uniform, 1, 1.5},
          {"beta", c, Role::parameter, Fill::uniform, -0.1f, 0.1f},
          {"running_mean", c, Role::state, Fill::uniform, -0.5f, 0.5f},
          {"running_var", c, Role::state, Fill::uniform, 0.5f, 1.5f}};
}
Var bn(Tape& t, Vars v, BatchNormAttrs attrs = {}) { return batch_norm(t, v[0], v[1], v[2], {v[3], v[4]}, attrs); }

OpCase bn_case(Shape x) {
  return {"batch_norm", x.str(), bn_inputs(x), [](Tape& t, Vars v) { return bn(t, v); }};
}
OpCase bn_inference_case(Shape x) {
  return {"batch_norm", x.str() + " inference", bn_inputs(x),
          [](Tape& t, Vars v) { return bn(t, v, {.training = false}); }, false};
}
OpCase bn_far_mean_case(Shape x) {  // mean >> std, where E[x^2]-E[x]^2 would cancel
  OpCase c{"batch_norm", x.str() + " mean 30", bn_inputs(x), [](Tape& t, Vars v) { return bn(t, v); }, false};
  c.in[0] = {"x", x, Role::activation, Fill::uniform, 29, 31};
  return c;
}
OpCase bn_relu_case(Shape x) {
  return {"bn_relu", x.str(), bn_inputs(x), [](Tape& t, Vars v) { return relu(t, bn(t, v)); }};
}
OpCase bn_add_relu_case(Shape x) {
  std::vector<CaseInput> in = bn_inputs(x);
  in.push_back({"skip", x, Role::activation, Fill::uniform, -0.1f, 0.1f});
  return {"bn_add_relu", x.str(), in, [](Tape& t, Vars v) { return relu(t, add(t, bn(t, v), v[5])); }};
}
OpCase conv_bn_case(Shape x, int64_t k, int stride) {
  const float bound = 1 / 1.5f;
  std::vector<CaseInput> in{{"x", x}, {"w", {k, x.c(), 3, 3}, Role::parameter, Fill::uniform, -bound, bound}};
  const std::vector<CaseInput> more = bn_inputs({1, k, 1, 1});
  in.insert(in.end(), more.begin() + 1, more.end());
  return {"conv2d_bn", rt::format("{} 3x3/{} -> {}", x.str(), stride, k), in, [stride](Tape& t, Vars v) {
            const Var y = conv2d(t, v[0], v[1], {.stride = stride, .pad = 1});
            return batch_norm(t, y, v[2], v[3], {v[4], v[5]}, {});
          }};
}

}  // namespace

Cases batch_norm_cases() {
  return {.small =
              {
                  bn_case({3, 5, 4, 3}),
                  bn_case({2, 33, 3, 3}),
                  bn_inference_case({3, 5, 4, 3}),
                  bn_inference_case({2, 32, 5, 3}),
                  bn_relu_case({3, 5, 4, 3}),
                  bn_relu_case({2, 32, 5, 3}),
                  bn_add_relu_case({3, 5, 4, 3}),
                  bn_add_relu_case({2, 32, 5, 3}),
              },
          .larger = {
              bn_case({17, 3, 32, 31}),
              bn_far_mean_case({16, 24, 20, 20}),
              bn_relu_case({2, 264, 3, 3}),
              bn_case({16, 24, 20, 20}),
              bn_relu_case({16, 24, 20, 20}),
              bn_add_relu_case({16, 24, 20, 20}),
              conv_bn_case({19, 32, 14, 10}, 16, 1),
              conv_bn_case({5, 16, 9, 13}, 48, 2),
          }};
}

}  // namespace rt
