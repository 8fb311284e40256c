// SGD with momentum, as PyTorch's, over the flat f32 buffers of optimizer.hpp. With norm's factor (control.hpp), and
// decay for the first `decayed` elements only:
//   g = factor * grad + decay * w;  v = momentum * v + g;  w -= lr * (nesterov ? g + momentum * v : v)
#pragma once
#include "kernels/update/optimizer.hpp"

namespace rt {

namespace kinds {
inline constexpr Kind sgd_gradient{"sgd.gradient: weights grads norm -> g"};  // g [P]: unscaled and clipped, with decay
inline constexpr Kind sgd_momentum{"sgd.momentum: momentum g norm -> momentum"};
inline constexpr Kind sgd_apply{"sgd.apply: weights g momentum lr norm -> weights"};
// Fused, one pass over all parameters, with weights.round where there is one; g does not lie in memory.
inline constexpr Kind sgd_update{"sgd.update: weights grads momentum lr norm -> weights momentum [compute]"};
}  // namespace kinds

struct SgdAttrs {
  double momentum = 0.9, weight_decay = 5e-4;
  bool nesterov = false;
  int64_t decayed = 0;  // parameters that decay stand first in the flat buffer
};

void record_sgd(Tape& tape, const UpdateVars& vars, Var norm, const OptimizerAttrs& attrs);
const SgdAttrs& sgd_attrs(Ops ops);

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
