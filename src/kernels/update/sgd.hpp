// SGD with momentum, as PyTorch's, over the flat f32 buffers of optimizer.hpp:
//   sgd.gradient: weights grads norm -> g              g [P]: unscaled and clipped, with decay
//   sgd.momentum: momentum g norm -> momentum
//   sgd.apply: weights g momentum lr norm -> weights
// Fused they are one pass over all parameters, with weights.round where there is one, and g does not lie in memory:
//   sgd.update: weights grads momentum lr norm -> weights momentum [compute]
// The formula, with norm's factor (control.hpp) and decay only for the first `decayed` elements:
//   g = factor * grad + decay * w;  v = momentum * v + g;  w -= lr * (nesterov ? g + momentum * v : v)
#pragma once
#include "kernels/update/optimizer.hpp"

namespace rt {

struct SgdAttrs {
  double momentum = 0.9, weight_decay = 5e-4;
  bool nesterov = false;
  int64_t decayed = 0;  // parameters that decay stand first in the flat buffer
};

void record_sgd(Tape& tape, const UpdateVars& vars, Var norm, const OptimizerAttrs& attrs);
const SgdAttrs& sgd_attrs(const Op* op);

namespace cpu {
void sgd_update(const Args& a);
}  // namespace cpu
namespace cpu::reference {
void sgd_gradient(const Args& a);
void sgd_momentum(const Args& a);
void sgd_apply(const Args& a);
}  // namespace cpu::reference

namespace cuda {
void sgd_gradient(const Args& a);
void sgd_momentum(const Args& a);
void sgd_apply(const Args& a);
void sgd_update(const Args& a);
}  // namespace cuda

}  // namespace rt
