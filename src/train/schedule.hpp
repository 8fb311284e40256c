// The learning rate as a function of the update's number, and of nothing else: a resumed run needs no scheduler state.
//
// With W warm-up steps, P the peak and T the steps after warm-up, t = step - W:
//   warm-up     (step + 1) / (W + 1) of what follows: no update is wasted at 0, step W is the first at the full rate;
//               PyTorch's LinearLR(start_factor = 1 / (W + 1), total_iters = W)
//   constant    P
//   step        P gamma^floor(epoch / step_epochs)                 PyTorch's StepLR
//   multistep   P gamma^(milestones reached)                       PyTorch's MultiStepLR
//   cosine      min + (P - min) (1 + cos(pi t / T)) / 2            Loshchilov & Hutter, "SGDR", 2017; CosineAnnealingLR
//   polynomial  min + (P - min) (1 - t / T)^power                  PyTorch's PolynomialLR, there with min = 0
//   onecycle    from P / div_factor up to P in pct_start of the steps, down to P / div_factor / final_div_factor, along
//               half cosines: Smith & Topin, "Super-convergence", 2018, as PyTorch's OneCycleLR draws it
// Step and multistep count epochs from the start of the run, so that a milestone means the epoch it names.
#pragma once
#include <cstdint>

#include "train/config/config.hpp"

namespace rt {

class Schedule {
 public:
  // Throws Error(usage) if warm-up is not shorter than the run, or min_lr is above the peak.
  Schedule(const Config::Schedule& config, double peak_lr, int64_t steps_per_epoch, int64_t total_steps);

  // step: number of the update, from 0. At and after total_steps: the rate the schedule ends with.
  double lr(int64_t step) const;

 private:
  double after_warmup(int64_t step) const;
  double one_cycle(double t) const;

  Config::Schedule config_;
  double peak_lr_;
  int64_t steps_per_epoch_, warmup_steps_, total_steps_;
};

}  // namespace rt
