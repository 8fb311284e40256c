#include "train/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/check.hpp"

namespace rt {
namespace {

double half_cosine(double from, double to, double share) {
  return to + (from - to) * (1 + std::cos(std::numbers::pi * share)) / 2;
}

}  // namespace

Schedule::Schedule(const Config::Schedule& config, double peak_lr, int64_t steps_per_epoch, int64_t total_steps)
    : config_(config),
      peak_lr_(peak_lr),
      steps_per_epoch_(steps_per_epoch),
      warmup_steps_(std::llround(config.warmup_epochs * static_cast<double>(steps_per_epoch))),
      total_steps_(total_steps) {
  RT_CHECK(steps_per_epoch >= 1 && total_steps >= 1, "a schedule needs steps: {} per epoch, {} in all", steps_per_epoch,
           total_steps);
  if (warmup_steps_ > 0 && warmup_steps_ >= total_steps)
    fail(ExitCode::usage,
         "schedule.warmup_epochs = {} is {} steps, but the whole run has {}; make it shorter or leave it auto",
         config.warmup_epochs, warmup_steps_, total_steps);
  if (config.min_lr > peak_lr)
    fail(ExitCode::usage, "schedule.min_lr = {} is above optimizer.lr = {}", config.min_lr, peak_lr);
}

double Schedule::lr(int64_t step) const {
  if (step < warmup_steps_) {
    // Decays that count from the start of the run may set in during warm-up; the others wait for its end.
    const bool waits = config_.name == "cosine" || config_.name == "polynomial" || config_.name == "onecycle";
    const double goal = after_warmup(waits ? warmup_steps_ : step);
    return goal * static_cast<double>(step + 1) / static_cast<double>(warmup_steps_ + 1);
  }
  return std::max(after_warmup(step), config_.min_lr);
}

double Schedule::after_warmup(int64_t step) const {
  const auto to_steps = [&](double epochs) { return std::llround(epochs * static_cast<double>(steps_per_epoch_)); };
  const auto steps = static_cast<double>(total_steps_ - warmup_steps_);
  const double t = std::min(static_cast<double>(step - warmup_steps_), steps);
  const auto after_cuts = [&](int64_t cuts) { return peak_lr_ * std::pow(config_.gamma, static_cast<double>(cuts)); };
  if (config_.name == "step") return after_cuts(step / std::max(1LL, to_steps(config_.step_epochs)));
  if (config_.name == "multistep")
    return after_cuts(std::count_if(config_.milestones.begin(), config_.milestones.end(),
                                    [&](double epoch) { return to_steps(epoch) <= step; }));
  if (config_.name == "cosine") return half_cosine(peak_lr_, config_.min_lr, t / steps);
  if (config_.name == "polynomial")
    return config_.min_lr + (peak_lr_ - config_.min_lr) * std::pow(1 - t / steps, config_.power);
  if (config_.name == "onecycle") return one_cycle(t);
  RT_CHECK(config_.name == "constant", "unknown schedule {}", config_.name);
  return peak_lr_;
}

double Schedule::one_cycle(double t) const {
  const double first = peak_lr_ / config_.div_factor, last = first / config_.final_div_factor;
  const auto steps = static_cast<double>(total_steps_ - warmup_steps_);
  const double top = config_.pct_start * steps - 1;  // the step at the peak, as PyTorch counts: not always a whole one
  if (t >= steps - 1) return last;
  if (t <= top && top > 0) return half_cosine(first, peak_lr_, t / top);
  const double start = std::max(top, 0.0);
  return half_cosine(peak_lr_, last, (t - start) / (steps - 1 - start));
}

}  // namespace rt
