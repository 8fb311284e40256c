#include "train/executor.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "kernels/cross_entropy.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/table.hpp"

namespace rt {

Executor::Executor(const ResNet& net, ModelState& state, const ExecutorOptions& options)
    : net_(net),
      state_(state),
      options_(options),
      target_(cpu_target()),
      images_(static_cast<size_t>(options.largest_batch * net.config().channels * options.height * options.width) *
              sizeof(float)),
      pixels_(images_.bytes() / sizeof(float)),
      rows_({{options.largest_batch}, DType::i32}),
      samples_({{options.largest_batch}, DType::i32}),
      epoch_({{1}, DType::i32}),
      table_(normalise_table(options.normalisation.mean, options.normalisation.std)),
      labels_({{options.largest_batch}, DType::i32}),
      lr_({{}, DType::f32}),
      dloss_({{}, DType::f32}),
      control_({{4}, DType::f32}),
      logits_({{options.largest_batch, net.config().classes}, DType::f32}) {
  std::iota(rows_.as<int32_t>(), rows_.as<int32_t>() + options.largest_batch, 0);
  control_.as<float>()[0] = 1;
  target_.reference_only = !options.select;
  options_.sgd.decayed = state.decayed(options.decay_all);
}

void Executor::load(const Batch& batch) {
  RT_CHECK(batch.count >= 1 && batch.count <= options_.largest_batch, "a batch of {} images, prepared for at most {}",
           batch.count, options_.largest_batch);
  const size_t count = static_cast<size_t>(batch.count);
  const size_t image = static_cast<size_t>(net_.config().channels * options_.height * options_.width);
  if (batch.images) {
    std::memcpy(images_.data(), batch.images, count * image * sizeof(float));
  } else {
    std::memcpy(pixels_.data(), batch.pixels, count * image);
    std::memcpy(samples_.as<int32_t>(), batch.samples, count * sizeof(int32_t));
    *epoch_.as<int32_t>() = static_cast<int32_t>(batch.epoch);
  }
  std::memcpy(labels_.as<int32_t>(), batch.labels, count * sizeof(int32_t));
}

Executor::Recorded Executor::record(Tape& tape, const Key& key) {
  const bool training = key.kind == Kind::train;
  const Shape images{key.batch, net_.config().channels, options_.height, options_.width};
  const Layout layout = options_.layout ? Layout::nhwc : Layout::nchw;
  Var x;
  if (key.bytes) {
    AugmentAttrs attrs = options_.augment;
    attrs.random &= training, attrs.layout = layout;
    const Spec numbers{{key.batch}, DType::i32};
    x = augment(tape, tape.external({{images, DType::u8}, pixels_.data()}, "pixels"),
                tape.external({numbers, rows_.view().data}, "rows"),
                tape.external({numbers, samples_.view().data}, "samples"), tape.external(epoch_.view(), "epoch"),
                tape.external(table_.view(), "table"), attrs);
  } else {
    x = convert(tape, tape.external({{images}, images_.data()}, "images"), DType::f32, layout);
  }
  const Var labels = tape.external({{{key.batch}, DType::i32}, labels_.view().data}, "labels");
  Pass pass = state_.begin(tape, training, !key.first);
  Recorded r;
  r.logits = net_(pass, x);
  {
    Tape::Scope scope(tape, "loss");
    const CrossEntropy ce = cross_entropy(tape, r.logits, labels, training ? options_.label_smoothing : 0.0);
    r.loss = ce.loss, r.correct = ce.correct;
  }
  if (!training) return r;
  tape.backward(r.loss, tape.external(dloss_.view(), "d loss"));
  if (!key.last) return r;
  Tape::Scope scope(tape, "update");
  r.norm = sgd_update(tape,
                      {.weights = tape.external(state_.weights(), "weights"),
                       .grads = tape.external(state_.grads(), "gradients"),
                       .momentum = tape.external(state_.momentum(), "momentum"),
                       .lr = tape.external(lr_.view(), "lr"),
                       .loss = r.loss,
                       .control = tape.external(control_.view(), "control"),
                       .running = tape.external(state_.running(), "running"),
                       .running_fresh = tape.external(state_.running_fresh(), "running_fresh"),
                       .compute = {}},
                      options_.sgd);
  return r;
}

Executor::Compiled Executor::compile(const Key& key) {
  Tape tape(Tape::Mode::trace, kernel_table(), target_);
  Compiled c;
  c.vars = record(tape, key);
  std::vector<Var> keep{c.vars.loss, c.vars.correct, c.vars.logits};
  if (c.vars.norm) keep.push_back(c.vars.norm);
  c.plan = std::make_unique<Plan>(
      std::move(tape), arena_,
      PlanOptions{options_.fuse ? fusion_rules() : std::span<const Rewrite>{}, options_.memory, keep});
  return c;
}

// read(vars, view): `view` gives the memory of a value while the step's memory still holds it.
template <class Read>
void Executor::run(const Key& key, Read&& read) {
  if (!options_.plan) {
    Tape tape(Tape::Mode::eager, kernel_table(), target_);
    const Recorded vars = record(tape, key);
    read(vars, [&](Var v) { return tape.view(v); });
    return;
  }
  Compiled& compiled = plan_of(key);
  compiled.plan->replay(observer_);
  read(compiled.vars, [&](Var v) { return compiled.plan->view(v); });
}

Executor::Compiled& Executor::plan_of(const Key& key) {
  auto it = plans_.find(key);
  if (it == plans_.end()) it = plans_.emplace(key, compile(key)).first;
  return it->second;
}

TrainResult Executor::train(const Batch& batch, double weight, bool first, bool last, double lr) {
  load(batch);
  *lr_.as<float>() = static_cast<float>(lr);
  *dloss_.as<float>() = static_cast<float>(weight);
  TrainResult result{};
  run({Kind::train, batch.count, first, last, !batch.images}, [&](const Recorded& vars, auto view) {
    result.loss = static_cast<double>(*view(vars.loss).template as<float>());
    result.top1 = view(vars.correct).template as<int32_t>()[0];
    keep_logits(view(vars.logits));
    if (last) {
      result.grad_norm = static_cast<double>(view(vars.norm).template as<float>()[0]);
      result.finite = view(vars.norm).template as<float>()[1] != 0.0f;
      control_.as<float>()[3] = 0;  // whoever sees a bad step decides what to do
    }
  });
  return result;
}

EvalResult Executor::evaluate(const Batch& batch) {
  load(batch);
  EvalResult result;
  run({Kind::evaluate, batch.count, false, false, !batch.images}, [&](const Recorded& vars, auto view) {
    result.loss_sum = static_cast<double>(*view(vars.loss).template as<float>()) * static_cast<double>(batch.count);
    result.images = batch.count;
    result.top1 = view(vars.correct).template as<int32_t>()[0];
    result.top5 = view(vars.correct).template as<int32_t>()[1];
    keep_logits(view(vars.logits));
  });
  return result;
}

void Executor::keep_logits(const View& logits) {
  std::memcpy(logits_.view().data, logits.data, logits.spec.bytes());
  logit_rows_ = logits.shape()[0];
}

View Executor::logits() const { return {{{logit_rows_, net_.config().classes}}, logits_.view().data}; }

std::string Executor::first_bad_layer(const Batch& batch) {
  auto bad = [](const View& view) {
    if (view.spec.dtype != DType::f32) return false;
    const float* data = view.as<float>();
    return std::any_of(data, data + view.numel(), [](float f) { return !std::isfinite(f); });
  };
  load(batch);
  const size_t pixels = static_cast<size_t>(batch.count * net_.config().channels * options_.height * options_.width);
  if (batch.images && bad({{{static_cast<int64_t>(pixels)}}, images_.data()})) return "the images themselves";
  for (const NamedView& p : state_.parameters())
    if (bad(p.view)) return p.name;
  // A plan even where training is eager: it has every value at hand right after the step that wrote it, and needs least memory.
  Plan& plan = *plan_of({Kind::train, batch.count, true, false, !batch.images}).plan;
  std::string found;
  plan.replay([&](const Step& step) {
    for (Var v : step.out)
      if (found.empty() && bad(plan.view(v))) found = fmt::format("{} ({})", step.label, step.kind);
  });
  state_.restart_statistics();  // the bad batch has gone through the fresh copy
  return found.empty() ? "none: the batch alone gives finite values" : found;
}

MemoryFigures Executor::memory(int64_t batch) {
  const Compiled compiled = compile({Kind::train, batch, true, true});
  const Plan& plan = *compiled.plan;
  const size_t fixed =
      3 * state_.weights().spec.bytes() + 2 * state_.running().spec.bytes() +
      static_cast<size_t>(batch * net_.config().channels * options_.height * options_.width) * sizeof(float);
  // An eager step holds every value at once.
  return {static_cast<int64_t>(options_.plan ? plan.arena_bytes() : plan.unshared_bytes()),
          static_cast<int64_t>(plan.unshared_bytes()), static_cast<int64_t>(fixed)};
}

std::string Executor::explain(int64_t batch) { return compile({Kind::train, batch, true, true}).plan->explain(); }

}  // namespace rt
