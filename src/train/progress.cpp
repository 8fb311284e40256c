#include "train/progress.hpp"

#include <algorithm>

#include "core/log.hpp"

namespace rt {

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e9) return "?";
  const auto s = static_cast<int64_t>(std::llround(seconds));
  const int64_t days = s / 86400, hours = s / 3600 % 24, minutes = s / 60 % 60;
  const std::string rest = rt::format("{:02}:{:02}", minutes, s % 60);
  if (days > 0) return rt::format("{}d {:02}:{}", days, hours, rest);
  return hours > 0 ? rt::format("{}:{}", hours, rest) : rest;
}

std::string format_progress(const ProgressState& s, int bar_width) {
  const double share =
      s.total > 0 ? std::clamp(static_cast<double>(s.done) / static_cast<double>(s.total), 0.0, 1.0) : 0;
  std::string text = rt::format("{}  {:3}%", s.label, static_cast<int>(share * 100));
  if (bar_width > 0)
    text += rt::format("|{:<{}}|", std::string(static_cast<size_t>(share * bar_width), '#'), bar_width);
  const double per_step_s = s.done > s.first ? s.elapsed_s / static_cast<double>(s.done - s.first) : std::nan("");
  text += rt::format(" {}/{} [{}<{}", s.done, s.total, format_duration(s.elapsed_s),
                     format_duration(per_step_s * static_cast<double>(std::max<int64_t>(0, s.total - s.done))));
  if (!std::isnan(s.images_per_s))
    text += rt::format(", {:.{}f} images/s", s.images_per_s, s.images_per_s < 10 ? 1 : 0);
  if (!std::isnan(s.loss)) text += rt::format(", loss {:.3f}", s.loss);
  if (!std::isnan(s.top1)) text += rt::format(", top-1 {:.1f} %", 100 * s.top1);
  if (!std::isnan(s.lr)) text += rt::format(", lr {:.3g}", s.lr);
  return text + "]";
}

Progress::Progress(std::string label, int64_t total, int64_t first, double plain_interval_s)
    : interval_s_(stderr_is_terminal() ? 0.1 : plain_interval_s), start_(Clock::now()), shown_(start_) {
  state_.label = std::move(label);
  state_.total = total;
  state_.done = state_.first = first;
}

Progress::~Progress() { log_status(""); }

void Progress::update(int64_t done, const Numbers& numbers) {
  const Clock::time_point now = Clock::now();
  if (std::chrono::duration<double>(now - shown_).count() < interval_s_) return;
  shown_ = now;
  state_.done = done;
  state_.elapsed_s = std::chrono::duration<double>(now - start_).count();
  state_.images_per_s = numbers.images_per_s;
  state_.loss = numbers.loss;
  state_.top1 = numbers.top1;
  state_.lr = numbers.lr;
  if (stderr_is_terminal())
    log_status(format_progress(state_, 20));
  else
    log_info("{}", format_progress(state_, 0));
}

}  // namespace rt
