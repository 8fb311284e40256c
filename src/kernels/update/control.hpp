// What stands around an optimizer's steps, whatever the optimizer (optimizer.hpp records all of them in order): how
// gradients are scaled and clipped, whether an update happens, and what follows from that.
// norm [3] f32: the global L2 norm of the unscaled gradients (grads / scale); 1 if the update happens (norm and loss
// are finite, and nothing was stopped), else 0; the factor of each gradient as it lies in memory, which is clip /
// scale:
//   clip = min(1, clip_norm / (norm + 1e-6))
// control [4] f32: loss scale, good steps since it changed, skipped updates, stop.
// updates [] i32: updates that happened, which neither skipped nor stopped ones do.
// All live where the steps run: nobody waits for them. Where norm says that the update does not happen, no weight, slot
// of the optimizer or statistic changes.
#pragma once
#include "core/rng.hpp"
#include "core/tape.hpp"

namespace rt {

namespace kinds {
// Before the backward pass, where gradients are scaled: dloss = weight * scale, scalars.
inline constexpr Kind loss_scale{"loss_scale: weight control -> dloss"};
// Before the optimizer's steps.
inline constexpr Kind grad_norm{"grad_norm: grads loss control -> norm"};
// After them, where weights are computed with in half precision: the first C weights, rounded to f16 or bf16, written
// in any case.
inline constexpr Kind weights_round{"weights.round: weights -> compute"};
// Running statistics: kept = fresh after a good step, else fresh = kept.
inline constexpr Kind commit{"commit: fresh kept norm -> fresh kept"};
inline constexpr Kind control_update{"control.update: norm control updates -> control updates"};
}  // namespace kinds

struct ControlAttrs {
  double clip_norm = 0;        // 0: no clipping
  bool dynamic_scale = false;  // false: a bad step stops all later ones until the host has looked
  int growth_interval = 2000;  // good steps before the loss scale doubles
};

// The shapes of the Vars are those above; running statistics are [S], empty Vars where there are none.
Var scaled_weight(Tape& tape, Var weight, Var control);  // dloss
Var grad_norm(Tape& tape, Var grads, Var loss, Var control, double clip_norm);
void round_weights(Tape& tape, Var weights, Var compute);
struct ControlVars {
  Var norm, control, updates, running, running_fresh;
};
void finish_update(Tape& tape, const ControlVars& vars, const ControlAttrs& attrs);  // commit and control.update

double clip_norm_of(Ops ops);                             // of the op that recorded grad_norm
const ControlAttrs& control_attrs(Ops ops);               // of the one that recorded control.update
void check_control(const char* op, const Spec& control);  // throws where it is not [4] f32

struct Control {  // as it lies in memory
  float scale = 1, good = 0, skipped = 0, stop = 0;
};
constexpr float largest_scale = 16777216;  // 2^24
RT_HOST_DEVICE inline Control next_control(Control c, bool updated, bool dynamic, int growth_interval) {
  if (c.stop != 0) return c;
  if (!dynamic) {
    c.stop = updated ? 0.0f : 1.0f;
  } else if (!updated) {
    c.scale /= 2;
    c.good = 0;
    c.skipped += 1;
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
void commit(const Args& a);
}  // namespace cpu
namespace cpu::reference {
void loss_scale(const Args& a);
void weights_round(const Args& a);
void control_update(const Args& a);
}  // namespace cpu::reference

namespace cuda {
void loss_scale(const Args& a);
void grad_norm(const Args& a);
size_t grad_norm_workspace(const Problem& problem);
void weights_round(const Args& a);
void commit(const Args& a);
void control_update(const Args& a);
}  // namespace cuda

}  // namespace rt
