#include "train/trainer.hpp"

#include <chrono>
#include <cmath>

#include "core/log.hpp"
#include "train/progress.hpp"
#include "train/signals.hpp"

namespace rt {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); }

}  // namespace

std::string fingerprint(Session& s) {
  return fmt::format("rtrain {}, {}, compiler {}, rows {:016x}", RT_VERSION, name_of(machine().isa), __VERSION__,
                     std::hash<std::string>{}(s.executor->explain(s.config().train.batch)));
}

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

Trainer::Trainer(Session& session, const RunFolder& folder, const LoopState& loop)
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

int Trainer::run() {
  if (loop_.step == 0) save();  // a run can be continued from its first second on
  while (loop_.step < length_.steps || evaluation_is_open()) {
    if (!train_epoch()) return stopped();
    if (evaluation_is_due()) {
      save();  // so that nothing is trained twice if the evaluation is interrupted
      if (!evaluate_now()) return stopped();
    }
    end_epoch();
  }
  return 0;
}

bool Trainer::evaluation_is_due() const {
  const bool scheduled = c_.eval.every > 0 && (loop_.epoch + 1) % static_cast<uint32_t>(c_.eval.every) == 0;
  return eval_loader_ && (scheduled || loop_.step >= length_.steps);
}

bool Trainer::train_epoch() {
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
    progress.update(step + 1, {.images_per_s = u.images_per_s, .loss = epoch_loss(), .top1 = epoch_top1(), .lr = u.lr});
    const bool more = loop_.position < loader_.samples() && loop_.step < length_.steps;
    if (more && c_.train.checkpoint_every > 0 && loop_.step % c_.train.checkpoint_every == 0) save();
  }
  return true;
}

Trainer::Update Trainer::update() {
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

void Trainer::log_step(Update& u, double loss, double grad_norm, double seconds, double wait) {
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

bool Trainer::evaluate_now() {
  const EvalResult r = evaluate(*s_.executor, *eval_loader_, "evaluation");
  if (stop_signal() != 0) return false;
  const double n = static_cast<double>(r.images), loss = r.loss_sum / n, top1 = static_cast<double>(r.top1) / n,
               top5 = static_cast<double>(r.top5) / n;
  metrics_.add(EvalEvent{loop_.step, epochs_done(), loss, top1, top5});
  const bool by_loss = c_.eval.monitor == "loss";
  const double value = by_loss ? loss : top1;
  const bool better = std::isfinite(value) && (!loop_.best || (by_loss ? value < *loop_.best : value > *loop_.best));
  if (better) {
    loop_.best = value;
    save_model(folder_.best, s_.info, *s_.state);
  }
  evaluation_text_ = fmt::format("; evaluation loss {:.4f}, top-1 {:.2f} %, top-5 {:.2f} %{}", loss, 100 * top1,
                                 100 * top5, better ? " (best so far)" : "");
  return true;
}

void Trainer::end_epoch() {
  log_info("epoch {}: train loss {:.4f}, top-1 {:.2f} %{}", loop_.epoch + 1, epoch_loss(), 100 * epoch_top1(),
           evaluation_text_);
  evaluation_text_.clear();
  loop_.evaluated = true;
  if (loop_.position == loader_.samples()) loop_.epoch += 1, loop_.position = 0, loop_.loss_sum = 0, loop_.top1 = 0;
  save_model(folder_.last, s_.info, *s_.state);
  if (!eval_loader_)
    save_model(folder_.best, s_.info, *s_.state);  // nothing to compare by: the newest is the best known
  save();                                          // last: once it is there, a resumed run does none of this again
}

void Trainer::diverged(const Batch& batch, const TrainResult& r, double lr) {
  std::string layer = "unknown, memory is too short to look";
  try {
    layer = s_.executor->first_bad_layer(batch);
  } catch (const Error&) {  // what matters is said below
  }
  fail(ExitCode::diverged,
       "the {} is not finite at step {} (epoch {}, learning rate {:.4g}); first bad value: {}. Checkpoints from "
       "before are "
       "in {}; a lower optimizer.lr, a longer schedule.warmup_epochs or train.clip_norm may help",
       std::isfinite(r.loss) ? "gradient" : "loss", loop_.step + 1, loop_.epoch + 1, lr, layer, folder_.checkpoints);
}

int Trainer::stopped() {
  save();
  save_model(folder_.last, s_.info, *s_.state);
  log_info("stopped by signal {} after update {}, saved; continue with: rtrain train --resume {}", stop_signal(),
           loop_.step, folder_.dir);
  return 128 + stop_signal();
}

void Trainer::save() {
  if (loop_.fingerprint.empty()) loop_.fingerprint = fingerprint(s_), loop_.data = checksum(*s_.data.train);
  checkpoints_.save(loop_, s_.info, *s_.state);
}

double Trainer::epochs_done() const {
  return loop_.epoch + static_cast<double>(loop_.position) / static_cast<double>(loader_.samples());
}

double Trainer::epoch_top1() const {
  return loop_.position ? static_cast<double>(loop_.top1) / static_cast<double>(loop_.position) : 0;
}

}  // namespace rt
