// The optimizer's update as steps over flat f32 buffers that hold all parameters at once, and the control of the loss
// scale. In this order:
//   grad_norm: grads loss control -> norm  norm [3]: global L2 norm of the unscaled gradients (grads / scale); 1 if the
//                                          update happens (norm and loss finite, not stopped), else 0; 1 / scale
//   sgd.gradient: weights grads norm -> g              g [P]: unscaled and clipped, with decay
//   sgd.momentum: momentum g norm -> momentum
//   sgd.apply: weights g momentum lr norm -> weights
//   sgd.round: weights -> compute          compute [C]: the first C weights rounded to f16 or bf16, written in any case; only
//                                          where these are computed with
//   commit: fresh kept norm -> fresh kept  running statistics: kept = fresh after a good step, fresh = kept after a bad
//   control.update: norm control -> control
// and before all of them, where gradients are scaled:
//   loss_scale: weight control -> dloss    dloss = weight * scale, scalars
// Fused, those of SGD are one pass over all parameters, and g does not lie in memory:
//   sgd.update: weights grads momentum lr norm -> weights momentum [compute]
// control [4] f32: loss scale, good steps since it changed, skipped updates, stop. It lives where the steps run: nobody waits
// for it. Where norm says that the update does not happen, no weight, momentum or statistic changes.
// SGD as PyTorch's:
//   g = clip * grad + decay * w;  v = momentum * v + g;  w -= lr * (nesterov ? g + momentum * v : v)
//   clip = min(1, clip_norm / (norm + 1e-6)), decay only for the first `decayed` elements.
#pragma once
#include "core/rng.hpp"
#include "core/tape.hpp"

namespace rt {

namespace kinds {
inline constexpr Kind grad_norm{"grad_norm: grads loss control -> norm"};
inline constexpr Kind sgd_gradient{"sgd.gradient: weights grads norm -> g"};
inline constexpr Kind sgd_momentum{"sgd.momentum: momentum g norm -> momentum"};
inline constexpr Kind sgd_apply{"sgd.apply: weights g momentum lr norm -> weights"};
inline constexpr Kind sgd_round{"sgd.round: weights -> compute"};
inline constexpr Kind sgd_update{"sgd.update: weights grads momentum lr norm -> weights momentum [compute]"};
inline constexpr Kind commit{"commit: fresh kept norm -> fresh kept"};
inline constexpr Kind control_update{"control.update: norm control -> control"};
inline constexpr Kind loss_scale{"loss_scale: weight control -> dloss"};
}  // namespace kinds

struct SgdAttrs {
  double momentum = 0.9, weight_decay = 5e-4;
  bool nesterov = false;
  double clip_norm = 0;        // 0: no clipping
  int64_t decayed = 0;         // parameters that decay stand first in the flat buffer
  bool dynamic_scale = false;  // false: a bad step stops all later ones until the host has looked
  int growth_interval = 2000;  // good steps before the loss scale doubles
};

struct UpdateVars {
  Var weights, grads, momentum;  // [P] each
  Var lr;                        // [] f32
  Var loss;                      // []
  Var control;                   // [4]
  Var running, running_fresh;    // [S]: committed and this step's statistics; empty Vars where there are none
  Var compute;  // [C] f16 or bf16, C <= P; an empty Var where the weights are computed with as they are
};
Var sgd_update(Tape& tape, const UpdateVars& v, SgdAttrs attrs);  // returns norm
Var scaled_weight(Tape& tape, Var weight, Var control);           // dloss

const SgdAttrs& sgd_attrs(Ops ops);

struct Control {  // as it lies in memory
  float scale = 1, good = 0, skipped = 0, stop = 0;
};
constexpr float largest_scale = 16777216;  // 2^24
RT_HOST_DEVICE inline Control next_control(Control c, bool updated, bool dynamic, int growth_interval) {
  if (c.stop != 0) return c;
  if (!dynamic) {
    c.stop = updated ? 0.0f : 1.0f;
  } else if (!updated) {
    c.scale /= 2, c.good = 0, c.skipped += 1;
    if (c.scale < 1) c.stop = 1;
  } else if (c.good += 1; c.good >= static_cast<float>(growth_interval)) {
    if (c.scale < largest_scale) c.scale *= 2;
    c.good = 0;
  }
  return c;
}

namespace cpu {
void grad_norm(const Args& a);
size_t grad_norm_workspace(const Problem& problem);
void sgd_update(const Args& a);
void commit(const Args& a);
}  // namespace cpu
namespace cpu::reference {
void sgd_gradient(const Args& a);
void sgd_momentum(const Args& a);
void sgd_apply(const Args& a);
void sgd_round(const Args& a);
void control_update(const Args& a);
void loss_scale(const Args& a);
}  // namespace cpu::reference

namespace cuda {
void grad_norm(const Args& a);
size_t grad_norm_workspace(const Problem& problem);
void sgd_gradient(const Args& a);
void sgd_momentum(const Args& a);
void sgd_apply(const Args& a);
void sgd_round(const Args& a);
void sgd_update(const Args& a);
void commit(const Args& a);
void control_update(const Args& a);
void loss_scale(const Args& a);
}  // namespace cuda

}  // namespace rt
