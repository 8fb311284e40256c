// Batch normalisation (Ioffe & Szegedy, 2015), per channel over N,H,W, with PyTorch's conventions: biased variance in
// the normalisation, unbiased in the running statistics, momentum weighs the new value.
//   y = (x - mean) * rstd * gamma + beta,   rstd = 1/sqrt(var + eps)
// x, y [N,C,H,W] in either layout; everything else [C]. Statistics are computed and kept in f32 (f64 for f64 inputs).
//
// Steps, training:  batch_norm.stats: x -> mean rstd var      (var unbiased)
//                   batch_norm.apply: x mean rstd gamma beta -> y
//                   batch_norm.update_running: mean var running_mean running_var -> running_mean running_var
//                   batch_norm.update_running.all: of several layers, one after the other
//        inference: batch_norm.running: running_mean running_var -> mean rstd,   then batch_norm.apply
//        backward:  batch_norm.sums: dy x mean rstd -> dgamma dbeta
//                   batch_norm.dx: dy x mean rstd gamma dgamma dbeta -> dx
// Fused by the rules in kernels/table.cpp (each writes what the sequence it replaces writes):
//        bn_relu.apply: x mean rstd gamma beta -> y          bn_add_relu.apply: x mean rstd gamma beta skip -> y
//        bn_relu.sums: dy y x mean rstd -> dgamma dbeta      bn_relu.dx: dy y x mean rstd gamma dgamma dbeta -> dx
//        bn_add_relu.dx: dy y x mean rstd gamma dgamma dbeta -> dx dskip        (relu's mask is y > 0)
//        bn_relu.dx_by_x: dy x mean rstd gamma beta dgamma dbeta -> dx          (where nobody keeps y)
#pragma once
#include "core/tape.hpp"

namespace rt {

struct BatchNormAttrs {
  double eps = 1e-5;
  double momentum = 0.1;
  bool training = true;  // false: normalise by the running statistics, which stay as they are
};

struct BatchNormState {
  Var running_mean, running_var;
};

Var batch_norm(Tape& tape, Var x, Var gamma, Var beta, BatchNormState state, BatchNormAttrs attrs);

const BatchNormAttrs& batch_norm_attrs(const Op* op);

namespace cpu::reference {
void batch_norm_stats(const Args& a);
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
