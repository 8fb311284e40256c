#include "train/trainer.hpp"

#include <chrono>
#include <cmath>
#include <optional>

#include "core/log.hpp"
#include "train/checkpoint.hpp"
#include "train/files.hpp"
#include "train/metrics.hpp"
#include "train/progress.hpp"
#include "train/run_folder.hpp"
#include "train/schedule.hpp"
#include "train/session.hpp"
#include "train/signals.hpp"

namespace rt {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); }

// What the bits of a run depend on besides its configuration.
std::string fingerprint(Session& s) {
  return fmt::format("{} {} {}", name_of(machine().isa), __VERSION__,
                     std::hash<std::string>{}(s.executor->explain(s.config().train.batch)));
}

struct RunLength {
  int64_t steps_per_epoch, steps;  // updates
};

RunLength run_length(const Session& s) {
  const Config& c = s.config();
  const int64_t images = s.train_images(), batch = c.train.batch;
  const int64_t batches = c.train.drop_last ? images / batch : (images + batch - 1) / batch;
  if (batches == 0)
    fail(ExitCode::usage,
         "{} training images do not fill one batch of {}: choose a smaller train.batch, or train.drop_last=false",
         images, batch);
  const int64_t per_epoch = (batches + c.train.accumulate - 1) / c.train.accumulate;
  return {per_epoch, c.train.steps > 0 ? c.train.steps : c.train.epochs * per_epoch};
}

Schedule make_schedule(const Session& s) {
  const RunLength length = run_length(s);
  return Schedule(s.config().schedule, s.config().optimizer.lr, length.steps_per_epoch, length.steps);
}

class Trainer {
 public:
  Trainer(Session& session, const RunFolder& folder, const LoopState& loop)
      : s_(session),
        c_(session.config()),
        folder_(folder),
        checkpoints_(folder.checkpoints, c_.train.keep),
        metrics_(folder.metrics_csv, folder.metrics_jsonl),
        loader_(*session.data.train, train_loader_options(session)),
        loop_(loop),
        length_(run_length(session)),
        schedule_(make_schedule(session)) {
    if (s_.eval_data) eval_loader_.emplace(*s_.eval_data, eval_loader_options(s_));
  }

  int run() {
    while (loop_.step < length_.steps || evaluation_is_open()) {
      if (!train_epoch()) return stopped();
      save();  // before the evaluation, so that nothing is trained twice if it is interrupted
      if (!evaluate_epoch()) return stopped();
      if (loop_.position == loader_.samples()) loop_.epoch += 1, loop_.position = 0, loop_.loss_sum = 0, loop_.top1 = 0;
      loop_.finished = loop_.step >= length_.steps;
      save();
      save_model(folder_.last, s_.info, *s_.state);
    }
    return 0;
  }
  int64_t step() const { return loop_.step; }

 private:
  bool evaluation_is_open() const { return loop_.position > 0 && !loop_.evaluated; }

  // To the end of the epoch or of the run; false when a signal asked to stop.
  bool train_epoch() {
    const std::string label = c_.train.steps > 0 ? fmt::format("epoch {}", loop_.epoch + 1)
                                                 : fmt::format("epoch {}/{}", loop_.epoch + 1, c_.train.epochs);
    const int64_t done = (loop_.position + group_images() - 1) / group_images();
    Progress progress(label, length_.steps_per_epoch, done);
    loader_.start(loop_.epoch, loop_.position);
    window_ = {};
    for (int64_t step = done; loop_.step < length_.steps; ++step) {
      if (stop_signal() != 0) return false;
      const Update u = update();
      if (u.images == 0) break;
      progress.update(step + 1,
                      {.images_per_s = u.images_per_s, .loss = epoch_loss(), .top1 = epoch_top1(), .lr = u.lr});
      if (c_.train.checkpoint_every > 0 && loop_.step % c_.train.checkpoint_every == 0) save();
    }
    return true;
  }

  struct Update {
    int64_t images = 0;
    double lr = 0, images_per_s = 0;
  };

  // One update from up to `accumulate` micro-batches. images == 0: the epoch has ended.
  Update update() {
    Update u;
    const int64_t left = loader_.samples() - loop_.position, group = std::min(group_images(), left);
    const Clock::time_point start = Clock::now();
    u.lr = schedule_.lr(loop_.step);
    double loss = 0, wait = 0;
    TrainResult r;
    while (u.images < group) {
      const Clock::time_point before = Clock::now();
      const Batch* batch = loader_.next();
      wait += seconds_since(before);
      RT_CHECK(batch, "the loader ended {} images early", group - u.images);
      const double weight = static_cast<double>(batch->count) / static_cast<double>(group);
      r = s_.executor->train(*batch, weight, u.images == 0, u.images + batch->count == group, u.lr);
      loss += weight * r.loss;
      u.images += batch->count;
      loop_.top1 += r.top1;
      s_.state->batches_tracked += 1;
      if (!std::isfinite(r.loss) || !r.finite) diverged(*batch, r, u.lr);
    }
    if (u.images == 0) return u;
    loop_.step += 1;
    loop_.position += u.images;
    loop_.loss_sum += loss * static_cast<double>(u.images);
    loop_.evaluated = false;
    log_step(u, loss, r.grad_norm, seconds_since(start), wait);
    return u;
  }

  void log_step(Update& u, double loss, double grad_norm, double seconds, double wait) {
    window_.images += u.images, window_.seconds += seconds, window_.wait += wait, window_.steps += 1;
    u.images_per_s = static_cast<double>(window_.images) / window_.seconds;
    if (loop_.step % c_.train.log_every != 0 && loop_.step != length_.steps) return;
    metrics_.add(TrainEvent{.step = loop_.step,
                            .epoch = epochs_done(),
                            .loss = loss,
                            .lr = u.lr,
                            .grad_norm = grad_norm,
                            .images_per_s = u.images_per_s,
                            .data_wait_ms = 1e3 * window_.wait / static_cast<double>(window_.steps)});
    window_ = {};
  }

  // False when a signal asked to stop.
  bool evaluate_epoch() {
    const bool last = loop_.step >= length_.steps;
    std::string text =
        fmt::format("epoch {}: train loss {:.4f}, top-1 {:.2f} %", loop_.epoch + 1, epoch_loss(), 100 * epoch_top1());
    const bool due = c_.eval.every > 0 && (loop_.epoch + 1) % static_cast<uint32_t>(c_.eval.every) == 0;
    if (eval_loader_ && (due || last)) {
      const EvalResult r = evaluate(*s_.executor, *eval_loader_, "evaluation");
      if (stop_signal() != 0) return false;
      const double n = static_cast<double>(r.images), loss = r.loss_sum / n, top1 = static_cast<double>(r.top1) / n;
      metrics_.add(EvalEvent{loop_.step, epochs_done(), loss, top1, static_cast<double>(r.top5) / n});
      const double value = c_.eval.monitor == "loss" ? loss : top1;
      const bool better = !loop_.best || (c_.eval.monitor == "loss" ? value < *loop_.best : value > *loop_.best);
      if (better && std::isfinite(value)) {
        loop_.best = value, loop_.best_step = loop_.step;
        save_model(folder_.best, s_.info, *s_.state);
      }
      text += fmt::format("; evaluation loss {:.4f}, top-1 {:.2f} %, top-5 {:.2f} %{}", loss, 100 * top1,
                          100 * static_cast<double>(r.top5) / n, better ? " (best so far)" : "");
    } else if (!eval_loader_) {
      save_model(folder_.best, s_.info, *s_.state);  // nothing to compare by: the newest is the best known
    }
    log_info("{}", text);
    loop_.evaluated = true;
    return true;
  }

  [[noreturn]] void diverged(const Batch& batch, const TrainResult& r, double lr) {
    const std::string layer = s_.executor->first_bad_layer(batch);
    fail(ExitCode::diverged,
         "the {} is not finite at step {} (epoch {}, learning rate {:.4g}); first bad value: {}. Checkpoints from "
         "before are "
         "in {}; a lower optimizer.lr, a longer schedule.warmup_epochs or train.clip_norm may help",
         std::isfinite(r.loss) ? "gradient" : "loss", loop_.step + 1, loop_.epoch + 1, lr, layer, folder_.checkpoints);
  }

  int stopped() {
    save();
    save_model(folder_.last, s_.info, *s_.state);
    log_info("stopped by signal {} after update {}, saved; continue with: rtrain train --resume {}", stop_signal(),
             loop_.step, folder_.dir);
    return 128 + stop_signal();
  }

  void save() {
    if (loop_.fingerprint.empty()) loop_.fingerprint = fingerprint(s_);
    checkpoints_.save(loop_, s_.info, *s_.state);
  }

  int64_t group_images() const { return int64_t{c_.train.batch} * c_.train.accumulate; }
  double epochs_done() const {
    return loop_.epoch + static_cast<double>(loop_.position) / static_cast<double>(loader_.samples());
  }
  double epoch_loss() const { return loop_.position ? loop_.loss_sum / static_cast<double>(loop_.position) : 0; }
  double epoch_top1() const {
    return loop_.position ? static_cast<double>(loop_.top1) / static_cast<double>(loop_.position) : 0;
  }

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
  struct Window {
    int64_t images = 0, steps = 0;
    double seconds = 0, wait = 0;
  } window_;
};

void describe(Session& s) {
  const Config& c = s.config();
  const DatasetInfo& d = s.data.train->info();
  log_info("data: {} training images, {} for evaluation, {}x{}, {} classes ({})", s.train_images(),
           !s.eval_data             ? 0
           : s.eval_indices.empty() ? s.eval_data->size()
                                    : static_cast<int64_t>(s.eval_indices.size()),
           d.height, d.width, d.classes, d.kind);
  log_info("model: {} with the {} stem, {} parameters", c.model.arch, c.model.stem, s.state->parameter_count());
  log_info("machine: {}, {} with {} threads, {}", machine().cpu_model, name_of(machine().isa), c.threads, c.precision);
  log_info("batch {}{}, learning rate {:.4g}, schedule {}", c.train.batch,
           c.train.accumulate > 1 ? fmt::format(" x {} accumulated", c.train.accumulate) : "", c.optimizer.lr,
           c.schedule.name);
  log_info("{}", memory_line(s.executor->memory(c.train.batch)));
}

int start(const TrainRequest& request) {
  std::vector<std::string> overrides = request.overrides;
  if (!request.data_dir.empty()) overrides.insert(overrides.begin(), "data.dir=" + request.data_dir);
  const auto session = open_session(load_config(request.config_file, overrides));
  make_schedule(*session);  // an impossible one is refused before anything is written
  describe(*session);
  if (request.explain) fmt::print("{}", session->executor->explain(session->config().train.batch));
  if (request.dry_run) {
    log_info("dry run: nothing was trained");
    return 0;
  }
  const RunFolder folder = create_run_folder(session->config().run.dir, session->loaded.recipe);
  atomic_write(folder.config, to_toml(session->loaded));
  log_to_file(folder.log);
  log_info("run folder: {}", folder.dir);
  Trainer trainer(*session, folder, {});
  const int code = trainer.run();
  if (code == 0) log_info("finished; results are in {}, the best model is {}", folder.dir, folder.best);
  return code;
}

int resume(const TrainRequest& request) {
  const RunFolder folder = open_run_folder(request.resume);
  LoadedConfig loaded = load_resumed_config(folder.config, request.overrides);
  const CheckpointFolder checkpoints(folder.checkpoints, loaded.config.train.keep);
  const ModelInfo info = checkpoints.load_newest(nullptr).info;
  loaded.config.model.weights.clear();  // the checkpoint holds the weights
  const auto session = open_session(loaded, &info);
  session->loaded.config.model.weights = load_resumed_config(folder.config, {}).config.model.weights;
  make_schedule(*session);
  CheckpointFolder::Loaded checkpoint = checkpoints.load_newest(session->state.get());
  if (request.explain) fmt::print("{}", session->executor->explain(session->config().train.batch));
  if (request.dry_run) {
    log_info("dry run: would continue after update {} of {}", checkpoint.loop.step, checkpoint.path);
    return 0;
  }
  LoopState& loop = checkpoint.loop;
  log_to_file(folder.log);
  if (const std::string now = fingerprint(*session); now != loop.fingerprint) {
    log_warning(
        "this machine or build computes with other kernels ({}) than the run so far ({}): it goes on, but not bit for "
        "bit",
        now, loop.fingerprint);
    loop.fingerprint = now;
  }
  truncate_metrics_after(folder.metrics_csv, folder.metrics_jsonl, loop.step, loop.evaluated);
  atomic_write(folder.config, to_toml(session->loaded));
  log_info("continuing {} after update {} (epoch {}, {} images into it) from {}", folder.dir, loop.step, loop.epoch + 1,
           loop.position, checkpoint.path);
  if (loop.finished) loop.finished = false;
  Trainer trainer(*session, folder, loop);
  const int64_t before = loop.step;
  const int code = trainer.run();
  if (code == 0 && trainer.step() == before)
    log_info("the run was finished already after {} updates; to train longer: rtrain train --resume {} train.epochs=N",
             before, folder.dir);
  else if (code == 0)
    log_info("finished; results are in {}, the best model is {}", folder.dir, folder.best);
  return code;
}

}  // namespace

int train(const TrainRequest& request) {
  install_stop_handlers();
  return request.resume.empty() ? start(request) : resume(request);
}

}  // namespace rt
