// The optimizer's update as steps over flat f32 buffers that hold all parameters at once.
//   grad_norm: grads loss -> norm          norm [2]: global L2 norm, and 1 if it and the loss are finite, else 0
//   sgd.update: weights grads momentum lr norm -> weights momentum
//   commit: fresh kept norm -> fresh kept  running statistics: kept = fresh after a good step, fresh = kept after a bad
//   one
// Where norm says "not finite" nothing changes. SGD as PyTorch's:
//   g = clip * grad + decay * w;  v = momentum * v + g;  w -= lr * (nesterov ? g + momentum * v : v)
//   clip = min(1, clip_norm / (norm + 1e-6)), decay only for the first `decayed` elements.
#pragma once
#include "core/tape.hpp"

namespace rt {

struct SgdAttrs {
  double momentum = 0.9, weight_decay = 5e-4;
  bool nesterov = false;
  double clip_norm = 0;  // 0: no clipping
  int64_t decayed = 0;   // parameters that decay stand first in the flat buffer
};

struct UpdateVars {
  Var weights, grads, momentum;  // [P] each
  Var lr;                        // [] f32
  Var loss;                      // []
  Var running, running_fresh;    // [S]: committed and this step's statistics; empty Vars where there are none
};
Var sgd_update(Tape& tape, const UpdateVars& v, SgdAttrs attrs);  // returns norm

const SgdAttrs& sgd_attrs(const Op* op);

namespace cpu {
void grad_norm(const Args& a);
size_t grad_norm_workspace(const Problem& problem);
void sgd_update(const Args& a);
void commit(const Args& a);
}  // namespace cpu

}  // namespace rt
