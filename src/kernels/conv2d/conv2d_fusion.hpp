// Fused steps of a convolution. Beside its own passes it may do a part of the batch norms before and behind it, whose
// numbers lie in registers or in a cache then:
//
//   .stats            batch_norm.stats of y
//   .on_load          x counts as bn_relu.apply of it, by mean_x rstd_x gamma_x beta_x; the backward pass's dx is the
//                     gradient of that
//   .of_bn_relu       dy counts as bn_relu.dx of dy, by mean_t ... dbeta_t; that batch norm's input is t, and the mask
//                     of its ReLU follows from t
//   .of_bn_add_relu   dy counts as bn_add_relu.dx of dy, whose other result is dskip; the mask is z > 0
//   .add              dx is that of the convolution plus `other`
//   .sums             bn_relu.sums of dx, for the batch norm that x comes from: with .on_load that of x; else its
//                     input is s, and the mask is x > 0
//
// The rules of kernels/fusion.cpp say which steps each of these kinds replaces.
#pragma once
#include <string_view>

#include "kernels/conv2d/conv2d.hpp"

namespace rt {

namespace kinds {
inline constexpr Kind conv2d_forward_stats{"conv2d.forward.stats: x w -> y mean rstd var"};
inline constexpr Kind conv2d_forward_stats_on_load{
    "conv2d.forward.stats.on_load: x mean_x rstd_x gamma_x beta_x w -> y mean rstd var"};
inline constexpr Kind conv2d_backward{"conv2d.backward: dy x w -> dx dw"};
inline constexpr Kind conv2d_backward_add{"conv2d.backward.add: dy x w other -> dx dw"};
inline constexpr Kind conv2d_backward_add_sums{
    "conv2d.backward.add.sums: dy x w other s mean_s rstd_s -> dx dw dgamma dbeta"};
inline constexpr Kind conv2d_backward_on_load_sums{
    "conv2d.backward.on_load.sums: dy x mean_x rstd_x gamma_x beta_x w -> dx dw dgamma dbeta"};
inline constexpr Kind conv2d_backward_of_bn_relu_add{
    "conv2d.backward.of_bn_relu.add: dy t mean_t rstd_t gamma_t beta_t dgamma_t dbeta_t x w other -> dx dw"};
inline constexpr Kind conv2d_backward_of_bn_relu_add_sums{
    "conv2d.backward.of_bn_relu.add.sums: "
    "dy t mean_t rstd_t gamma_t beta_t dgamma_t dbeta_t x w other s mean_s rstd_s -> dx dw dgamma dbeta"};
inline constexpr Kind conv2d_backward_of_bn_add_relu_on_load_sums{
    "conv2d.backward.of_bn_add_relu.on_load.sums: "
    "dy z t mean_t rstd_t gamma_t dgamma_t dbeta_t x mean_x rstd_x gamma_x beta_x w -> dskip dx dw dgamma dbeta"};
}  // namespace kinds

// What a kind of convolution does, by its name.
struct Conv2dFusion {
  bool has_dx, has_dw;  // neither: forward
  bool stats, on_load, of_bn_relu, of_bn_add_relu, add, sums;

  constexpr explicit Conv2dFusion(std::string_view kind)
      : has_dx(has(kind, ".backward") || has(kind, ".dx")),
        has_dw(has(kind, ".backward") || has(kind, ".dw")),
        stats(has(kind, ".stats")),
        on_load(has(kind, ".on_load")),
        of_bn_relu(has(kind, ".of_bn_relu")),
        of_bn_add_relu(has(kind, ".of_bn_add_relu")),
        add(has(kind, ".add")),
        sums(has(kind, ".sums")) {}
  constexpr bool backward() const { return has_dx || has_dw; }
  constexpr bool of_bn() const { return of_bn_relu || of_bn_add_relu; }

 private:
  static constexpr bool has(std::string_view kind, std::string_view part) {
    return kind.find(part) != std::string_view::npos;
  }
};

}  // namespace rt
