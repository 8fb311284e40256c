// Progress as people know it from tqdm: one redrawn line on a terminal, a plain line now and then elsewhere.
//   epoch 3/30  42%|########            | 164/391 [00:21<00:29, 995 images/s, loss 1.234, top-1 56.1 %, lr 0.0998]
// The bar is plain ASCII: a terminal line is cut to its width by bytes.
#pragma once
#include <chrono>
#include <cmath>
#include <cstdint>
#include <string>

namespace rt {

struct ProgressState {
  std::string label = {};       // "epoch 3/30", "evaluation"
  int64_t done = 0, total = 0;  // steps
  int64_t first = 0;            // where this process began to count: a resumed epoch is not faster for it
  double elapsed_s = 0;         // since then
  // NaN: not known, and left out. top1 is a fraction.
  double images_per_s = std::nan(""), loss = std::nan(""), top1 = std::nan(""), lr = std::nan("");
};

// bar_width 0: no bar.
std::string format_progress(const ProgressState& state, int bar_width);
std::string format_duration(double seconds);  // "02:03", "1:02:03", "2d 01:02:03"; "?" if not known

// Shows a state at most every interval: 0.1 s on a terminal, plain_interval_s elsewhere. Removes its line when it ends.
class Progress {
 public:
  Progress(std::string label, int64_t total, int64_t first = 0, double plain_interval_s = 10);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  struct Numbers {
    double images_per_s = std::nan(""), loss = std::nan(""), top1 = std::nan(""), lr = std::nan("");
  };
  void update(int64_t done, const Numbers& numbers);

 private:
  using Clock = std::chrono::steady_clock;
  ProgressState state_;
  double interval_s_;
  Clock::time_point start_, shown_;
};

}  // namespace rt
