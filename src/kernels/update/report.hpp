// What the host wants to know of a step, gathered in one place so that one small copy brings it all, as late as it
// likes.
//   report: loss correct control [norm] -> report      report [8] f32, external, in the order of ReportField
#pragma once
#include "core/rng.hpp"
#include "core/tape.hpp"

namespace rt {

namespace kinds {
inline constexpr Kind report{"report: loss correct control [norm] -> report"};
}

enum ReportField : int {
  report_loss,
  report_top1,  // samples, exact up to 2^24
  report_top5,
  report_grad_norm,  // of the unscaled gradients, before clipping; 0 where there is no norm
  report_updated,    // 1 if the update happened, or there is none
  report_scale,
  report_skipped,
  report_stop,
  report_fields
};

// loss [] f32, correct [2] i32, control [4] and norm [3] as in control.hpp; norm may be an empty Var.
void report(Tape& tape, Var loss, Var correct, Var control, Var norm, Var target);

RT_HOST_DEVICE inline void write_report(const float* loss, const int32_t* correct, const float* control,
                                        const float* norm, float* r) {
  r[report_loss] = loss[0];
  r[report_top1] = static_cast<float>(correct[0]);
  r[report_top5] = static_cast<float>(correct[1]);
  r[report_grad_norm] = norm ? norm[0] : 0.0f;
  r[report_updated] = norm ? norm[1] : 1.0f;
  r[report_scale] = control[0];
  r[report_skipped] = control[2];
  r[report_stop] = control[3];
}

namespace cpu::reference {
void report(const Args& a);
}  // namespace cpu::reference

namespace cuda {
void report(const Args& a);
}  // namespace cuda

}  // namespace rt
