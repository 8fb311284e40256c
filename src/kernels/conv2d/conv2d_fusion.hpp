// What a convolution's step does, and where its operands stand: its kind says both. Beside its own passes a convolution may do
// the work of its neighbours in the net, whose numbers lie in registers or in a cache then:
//
//   conv2d.forward[.stats][.on_load]:   x [mean rstd gamma beta] w -> y [mean rstd var]
//   conv2d.dx: dy w -> dx     conv2d.dw: dy x -> dw
//   conv2d.backward[.of_bn_relu | .of_bn_add_relu][.on_load][.add][.sums]:
//     dy [t mean rstd gamma beta dgamma dbeta | z t mean rstd gamma dgamma dbeta] x [mean rstd gamma beta] w [other]
//     [t mean rstd] -> [d] dx dw [dgamma dbeta]
//
//   .stats            batch_norm.stats of y
//   .on_load          x counts as bn_relu.apply of it; backward dx is the gradient of that
//   .of_bn_relu       dy counts as bn_relu.dx of dy; that batch norm's input is t, and its ReLU's mask follows from t
//   .of_bn_add_relu   dy counts as bn_add_relu.dx of dy, whose other result is d; the mask is z > 0
//   .add              dx is that of the convolution plus `other`
//   .sums             bn_relu.sums of dx, for the batch norm that x comes from: of x with .on_load; else of t, and x is the mask
#pragma once
#include <string_view>

#include "core/step.hpp"

namespace rt {

struct Conv2dFusion {
  bool has_dx, has_dw;  // neither: forward
  bool stats, on_load, of_bn_relu, of_bn_add_relu, add, sums;

  constexpr bool backward() const { return has_dx || has_dw; }
  constexpr bool of_bn() const { return of_bn_relu || of_bn_add_relu; }
  // Among the inputs. Operands of one batch norm follow each other.
  constexpr size_t norm_of_dy() const { return 1; }
  constexpr size_t x() const { return !backward() ? 0 : of_bn() ? 8 : 1; }
  constexpr size_t norm_of_x() const { return x() + 1; }
  constexpr size_t w() const { return has_dx && !has_dw ? 1 : x() + (on_load ? 5 : 1); }
  constexpr size_t other() const { return w() + 1; }
  constexpr size_t summed() const { return w() + (add ? 2 : 1); }
  // Among the outputs.
  constexpr size_t dx() const { return of_bn_add_relu ? 1 : 0; }
  constexpr size_t dw() const { return has_dx ? dx() + 1 : 0; }
  constexpr size_t dgamma() const { return dw() + 1; }

  const Spec& x_of(const Problem& p) const { return backward() && !has_dw ? p.out[dx()] : p.in[x()]; }
  const Spec& w_of(const Problem& p) const { return backward() && !has_dx ? p.out[dw()] : p.in[w()]; }
};

constexpr Conv2dFusion conv2d_fusion(std::string_view kind) {  // "conv2d...."
  auto has = [&](std::string_view part) { return kind.find(part) != std::string_view::npos; };
  return {has(".backward") || has(".dx"),
          has(".backward") || has(".dw"),
          has(".stats"),
          has(".on_load"),
          has(".of_bn_relu"),
          has(".of_bn_add_relu"),
          has(".add"),
          has(".sums")};
}

}  // namespace rt
