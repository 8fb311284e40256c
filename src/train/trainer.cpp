#include "train/trainer.hpp"

#include <chrono>
#include <cmath>

#include "core/log.hpp"
#include "train/fingerprint.hpp"
#include "train/progress.hpp"
#include "train/signals.hpp"

namespace rt {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); }

}  // namespace

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
  loss_scale_ = static_cast<double>(s_.state->control_values()[0]);
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
  const std::string label = c_.train.steps > 0 ? rt::format("epoch {}", loop_.epoch + 1)
                                               : rt::format("epoch {}/{}", loop_.epoch + 1, c_.train.epochs);
  const int64_t done = (loop_.position + group_images() - 1) / group_images(), before = loop_.step - done;
  Progress progress(label, length_.steps_per_epoch, done);
  loader_.start(loop_.epoch, loop_.position);
  window_ = {};
  last_finished_ = Clock::now();
  const auto enqueued = [&] { return loop_.step + static_cast<int64_t>(pending_.size()); };
  const auto show = [&] {
    progress.update(loop_.step - before,
                    {.images_per_s = images_per_s_, .loss = epoch_loss(), .top1 = epoch_top1(), .lr = last_lr_});
  };
  while (enqueued() < length_.steps && stop_signal() == 0 && enqueue_update()) {
    const bool due = c_.train.checkpoint_every > 0 && enqueued() % c_.train.checkpoint_every == 0;
    collect(due);
    show();
    if (due && loop_.position < loader_.samples() && loop_.step < length_.steps) {
      save();
      last_finished_ = Clock::now();  // speed is of training alone
    }
  }
  collect(true);
  show();
  return loop_.position == loader_.samples() || loop_.step >= length_.steps;
}

bool Trainer::enqueue_update() {
  Update u;
  u.first = enqueued_position();
  const int64_t group = std::min(group_images(), loader_.samples() - u.first);
  u.lr = schedule_.lr(loop_.step + static_cast<int64_t>(pending_.size()));
  std::vector<double> weights;
  while (u.images < group) {
    const Clock::time_point before = Clock::now();
    const Batch* batch = loader_.next();
    u.wait_s += seconds_since(before);
    if (!batch && stop_signal() != 0) return false;
    RT_CHECK(batch, "the loader ended {} images early", group - u.images);
    const double weight = static_cast<double>(batch->count) / static_cast<double>(group);
    s_.executor->enqueue(*batch, weight, u.images == 0, u.images + batch->count == group, u.lr);
    u.images += batch->count;
    u.weights.push_back(weight);
  }
  if (u.images == 0) return false;
  pending_.push_back(std::move(u));
  return true;
}

void Trainer::collect(bool all) {
  while (!pending_.empty()) {
    const std::optional<StepResult> r = s_.executor->result(all);
    if (!r) return;
    Update& u = pending_.front();
    u.loss += u.weights[u.done] * r->loss;
    if (!std::isfinite(r->loss) && !u.bad) u.bad = u.done;
    u.done += 1;
    loop_.top1 += r->top1;
    s_.state->batches_tracked += 1;
    if (u.done < u.weights.size()) continue;  // whether it happened is known at its end
    const bool skipped = !r->finite && !r->stopped && r->loss_scale < loss_scale_;  // f16: too large a loss scale
    if ((u.bad || !r->finite) && !skipped) diverged(u, !u.bad);
    if (skipped)
      log_info("update {} skipped: a number overflowed, the loss scale is {} now", loop_.step + 1, r->loss_scale);
    loss_scale_ = r->loss_scale;
    const Update finished = std::move(u);
    pending_.pop_front();
    finish_update(finished, *r);
  }
}

void Trainer::finish_update(const Update& u, const StepResult& r) {
  loop_.step += 1;
  loop_.position += u.images;
  last_lr_ = u.lr;
  if (std::isfinite(u.loss)) loop_.loss_sum += u.loss * static_cast<double>(u.images);
  loop_.evaluated = false;
  window_.images += u.images;
  window_.seconds += seconds_since(last_finished_);
  window_.wait_s += u.wait_s;
  window_.steps += 1;
  last_finished_ = Clock::now();
  images_per_s_ = static_cast<double>(window_.images) / window_.seconds;
  if (loop_.step % c_.train.log_every != 0 && loop_.step != length_.steps) return;
  metrics_.add(TrainEvent{.step = loop_.step,
                          .epoch = epochs_done(),
                          .loss = u.loss,
                          .lr = u.lr,
                          .grad_norm = r.grad_norm,
                          .images_per_s = images_per_s_,
                          .data_wait_ms = 1e3 * window_.wait_s / static_cast<double>(window_.steps)});
  window_ = {};
}

bool Trainer::evaluate_now() {
  const EvalResult r = evaluate(*s_.executor, *eval_loader_, "evaluation");
  if (stop_signal() != 0) return false;
  const double n = static_cast<double>(r.images);
  const double loss = r.loss_sum / n;
  const double top1 = static_cast<double>(r.top1) / n;
  const double top5 = static_cast<double>(r.top5) / n;
  metrics_.add(EvalEvent{.step = loop_.step, .epoch = epochs_done(), .loss = loss, .top1 = top1, .top5 = top5});
  const bool by_loss = c_.eval.monitor == "loss";
  const double value = by_loss ? loss : top1;
  const bool better = std::isfinite(value) && (!loop_.best || (by_loss ? value < *loop_.best : value > *loop_.best));
  if (better) {
    loop_.best = value;
    pull();
    save_model(folder_.best, s_.info, *s_.state);
  }
  evaluation_text_ = rt::format("; evaluation loss {:.4f}, top-1 {:.2f} %, top-5 {:.2f} %{}", loss, 100 * top1,
                                100 * top5, better ? " (best so far)" : "");
  return true;
}

void Trainer::end_epoch() {
  log_info("epoch {}: train loss {:.4f}, top-1 {:.2f} %{}", loop_.epoch + 1, epoch_loss(), 100 * epoch_top1(),
           evaluation_text_);
  evaluation_text_.clear();
  loop_.evaluated = true;
  if (loop_.position == loader_.samples()) {
    loop_.epoch += 1;
    loop_.position = 0;
    loop_.loss_sum = 0;
    loop_.top1 = 0;
  }
  pull();
  save_model(folder_.last, s_.info, *s_.state);
  // With nothing to compare by, the newest is the best known.
  if (!eval_loader_) save_model(folder_.best, s_.info, *s_.state);
  // The checkpoint comes last: once it is there, a resumed run does none of this again.
  save();
}

void Trainer::diverged(const Update& u, bool loss_is_finite) {
  while (s_.executor->result(true)) {  // what was enqueued behind it changed nothing
  }
  std::string layer = "unknown, memory is too short to look";
  try {
    const size_t micro_batch = u.bad.value_or(u.done - 1);
    layer = s_.executor->first_bad_layer(loader_.again(u.first + static_cast<int64_t>(micro_batch) * c_.train.batch));
  } catch (const Error&) {  // what matters is said below
  }
  fail(ExitCode::diverged,
       "the {} is not finite at step {} (epoch {}, learning rate {:.4g}); first bad value: {}. "
       "Checkpoints from before are in {}; "
       "a lower optimizer.lr, a longer schedule.warmup_epochs or train.clip_norm may help",
       loss_is_finite ? "gradient" : "loss", loop_.step + 1, loop_.epoch + 1, u.lr, layer, folder_.checkpoints);
}

int Trainer::stopped() {
  save();
  save_model(folder_.last, s_.info, *s_.state);
  log_info("stopped by signal {} after update {}, saved; continue with: rtrain train --resume {}", stop_signal(),
           loop_.step, folder_.dir);
  return 128 + stop_signal();
}

void Trainer::save() {
  pull();
  if (loop_.fingerprint.empty()) loop_.fingerprint = fingerprint(s_);
  checkpoints_.save(loop_, s_.info, *s_.state);
}

void Trainer::pull() {
  if (pulled_at_ != loop_.step) s_.state->pull();
  pulled_at_ = loop_.step;
}

double Trainer::epochs_done() const {
  return loop_.epoch + static_cast<double>(loop_.position) / static_cast<double>(loader_.samples());
}

double Trainer::epoch_top1() const {
  return loop_.position ? static_cast<double>(loop_.top1) / static_cast<double>(loop_.position) : 0;
}

}  // namespace rt
