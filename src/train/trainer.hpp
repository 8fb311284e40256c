// The training loop of one run: epochs of updates, evaluations, checkpoints and models, from a loop state to the end.
// What is saved when: a checkpoint before the first update, before each evaluation, and last of all when an epoch has ended.
#pragma once
#include <optional>
#include <string>

#include "train/checkpoint.hpp"
#include "train/metrics.hpp"
#include "train/run_folder.hpp"
#include "train/schedule.hpp"
#include "train/session.hpp"

namespace rt {

struct RunLength {
  int64_t steps_per_epoch, steps;  // updates
};
RunLength run_length(const Session& session);    // Error(usage) where the images do not fill a batch
Schedule make_schedule(const Session& session);  // Error(usage) where it does not fit into the run
std::string fingerprint(Session& session);       // what a run's bits depend on besides its configuration

class Trainer {
 public:
  Trainer(Session& session, const RunFolder& folder, const LoopState& loop);

  int run();  // 0, or 128 + signal after saving; Error(diverged) when the loss is no longer finite
  int64_t step() const { return loop_.step; }

 private:
  bool evaluation_is_open() const { return loop_.position > 0 && !loop_.evaluated; }
  bool evaluation_is_due() const;

  // To the end of the epoch or of the run; false when a signal asked to stop.
  bool train_epoch();

  struct Update {
    int64_t images = 0;
    double lr = 0, images_per_s = 0;
  };

  // One update from up to `accumulate` micro-batches. images == 0: the epoch has ended.
  Update update();

  void log_step(Update& u, double loss, double grad_norm, double seconds, double wait);

  // False when a signal asked to stop.
  bool evaluate_now();

  void end_epoch();

  [[noreturn]] void diverged(const Batch& batch, const TrainResult& r, double lr);

  int stopped();

  void save();

  int64_t group_images() const { return int64_t{c_.train.batch} * c_.train.accumulate; }
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
  std::string evaluation_text_;
  struct Window {
    int64_t images = 0, steps = 0;
    double seconds = 0, wait = 0;
  } window_;
};

}  // namespace rt
