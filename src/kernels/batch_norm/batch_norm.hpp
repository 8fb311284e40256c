// Batch normalisation (Ioffe & Szegedy, 2015), per channel over N,H,W, with PyTorch's conventions: biased variance in
// the normalisation, unbiased in the running statistics, momentum weighs the new value.
//   y = (x - mean) * rstd * gamma + beta,   rstd = 1/sqrt(var + eps)
// x, y [N,C,H,W] in either layout; everything else [C]. Statistics are computed and kept in f32 (f64 for f64 inputs).
//
// Training records stats, apply and update_running; inference records running and apply; the backward pass records sums
// and dx (kinds, below). The kinds after them are fused by the rules of kernels/fusion.cpp; each writes what the
// sequence that it replaces writes.
#pragma once
#include "core/tape.hpp"

namespace rt {

namespace kinds {
inline constexpr Kind batch_norm_stats{"batch_norm.stats: x -> mean rstd var"};  // var is unbiased
inline constexpr Kind batch_norm_apply{"batch_norm.apply: x mean rstd gamma beta -> y"};
inline constexpr Kind batch_norm_update_running{
    "batch_norm.update_running: mean var running_mean running_var -> running_mean running_var"};
inline constexpr Kind batch_norm_running{"batch_norm.running: running_mean running_var -> mean rstd"};
inline constexpr Kind batch_norm_sums{"batch_norm.sums: dy x mean rstd -> dgamma dbeta"};
inline constexpr Kind batch_norm_dx{"batch_norm.dx: dy x mean rstd gamma dgamma dbeta -> dx"};

// Of several layers, one after the other.
inline constexpr Kind batch_norm_update_running_all{"batch_norm.update_running.all: fresh... -> running..."};
inline constexpr Kind bn_relu_apply{"bn_relu.apply: x mean rstd gamma beta -> y"};
inline constexpr Kind bn_add_relu_apply{"bn_add_relu.apply: x mean rstd gamma beta skip -> y"};
// ReLU lets through where y > 0,
inline constexpr Kind bn_relu_sums{"bn_relu.sums: dy y x mean rstd -> dgamma dbeta"};
inline constexpr Kind bn_relu_dx{"bn_relu.dx: dy y x mean rstd gamma dgamma dbeta -> dx"};
inline constexpr Kind bn_add_relu_dx{"bn_add_relu.dx: dy y x mean rstd gamma dgamma dbeta -> dx dskip"};
// or where nobody keeps y, where x gives such a y.
inline constexpr Kind bn_relu_dx_by_x{"bn_relu.dx_by_x: dy x mean rstd gamma beta dgamma dbeta -> dx"};
}  // namespace kinds

struct BatchNormAttrs {
  double eps = 1e-5;
  double momentum = 0.1;
  bool training = true;  // false: normalise by the running statistics, which stay as they are
};

struct BatchNormState {
  Var running_mean, running_var;
};

Var batch_norm(Tape& tape, Var x, Var gamma, Var beta, BatchNormState state, BatchNormAttrs attrs);

const BatchNormAttrs& batch_norm_attrs(Ops ops);

class Rows;
namespace cpu {
void add_batch_norm_rows(Rows& rows);  // of vector kernels, f32 and bf16
}

namespace cpu::reference {
void batch_norm_stats(const Args& a);
void batch_norm_apply(const Args& a);
void batch_norm_update_running(const Args& a);
void batch_norm_running(const Args& a);
void bn_relu_apply(const Args& a);    // and bn_add_relu.apply
void batch_norm_sums(const Args& a);  // and bn_relu.sums
void batch_norm_dx(const Args& a);    // and bn_relu.dx, bn_add_relu.dx
}  // namespace cpu::reference

namespace cuda {  // f32, f16, bf16 (statistics, parameters and their gradients f32); any layout
size_t batch_norm_workspace(const Problem& p);  // of the stats and sums steps
void batch_norm_stats(const Args& a);
// The same from sums over x [C], followed by those over its squares [C].
void batch_norm_stats_of_sums(const float* sums, const Args& a);
void batch_norm_apply(const Args& a);
void batch_norm_update_running(const Args& a);
void batch_norm_running(const Args& a);
void batch_norm_sums(const Args& a);
void batch_norm_dx(const Args& a);
void bn_relu_apply(const Args& a);
void bn_add_relu_apply(const Args& a);
void bn_relu_sums(const Args& a);
void bn_relu_dx(const Args& a);
void bn_add_relu_dx(const Args& a);
}  // namespace cuda

}  // namespace rt
