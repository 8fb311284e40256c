// The training loop of one run: epochs of updates, evaluations, checkpoints and models, from a loop state to the end.
// A checkpoint is saved before the first update, before each evaluation, and last of all when an epoch has ended.
#pragma once
#include <chrono>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "train/checkpoint.hpp"
#include "train/metrics.hpp"
#include "train/run_folder.hpp"
#include "train/run_length.hpp"

namespace rt {

class Trainer {
 public:
  // A new run's loop state says only which images it is trained on.
  Trainer(Session& session, const RunFolder& folder, const LoopState& loop);

  int run();  // 0, or 128 + signal after saving; Error(diverged) when the loss is no longer finite
  int64_t step() const { return loop_.step; }

 private:
  bool evaluation_is_open() const { return loop_.position > 0 && !loop_.evaluated; }
  bool evaluation_is_due() const;

  // Trains to the end of the epoch or of the run; false when a signal asked to stop.
  bool train_epoch();

  // An update that was enqueued, while its results are on their way. A GPU is a few steps behind the host.
  struct Update {
    int64_t first = 0;  // position in the epoch of its first image
    int64_t images = 0;
    double lr = 0, wait_s = 0, loss = 0;
    std::vector<double> weights;  // of its micro-batches
    size_t done = 0;              // micro-batches whose results are there
    std::optional<size_t> bad;    // the first micro-batch whose loss is not finite
  };

  // Enqueues up to `accumulate` micro-batches and their update. False: the epoch has ended, or a signal asked to stop
  // while a batch was prepared. An update that is incomplete then is not made.
  bool enqueue_update();
  // Takes the results that are there, or all of what was enqueued.
  void collect(bool all);
  void finish_update(const Update& u, const StepResult& r);

  // False when a signal asked to stop.
  bool evaluate_now();

  void end_epoch();

  [[noreturn]] void diverged(const Update& u, bool loss_is_finite);

  int stopped();

  void pull();  // the model's numbers to the host, once a step
  void save();

  int64_t group_images() const { return int64_t{c_.train.batch} * c_.train.accumulate; }
  int64_t enqueued_position() const {
    return pending_.empty() ? loop_.position : pending_.back().first + pending_.back().images;
  }
  double epochs_done() const;
  double epoch_loss() const { return loop_.position ? loop_.loss_sum / static_cast<double>(loop_.position) : 0; }
  double epoch_top1() const;

  Session& s_;
  const Config& c_;
  RunFolder folder_;
  CheckpointFolder checkpoints_;
  Metrics metrics_;
  Loader loader_;
  std::optional<Loader> eval_loader_;
  LoopState loop_;
  RunLength length_;
  Schedule schedule_;
  std::deque<Update> pending_;
  std::chrono::steady_clock::time_point last_finished_;
  double images_per_s_ = 0, loss_scale_ = 1, last_lr_ = 0;
  int64_t pulled_at_ = -1;
  std::string evaluation_text_;
  struct Window {
    int64_t images = 0, steps = 0;
    double seconds = 0, wait_s = 0;
  } window_;
};

}  // namespace rt
