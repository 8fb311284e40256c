#include "train/engine/executor.hpp"

#include <algorithm>
#include <cmath>

#include "data/read_samples.hpp"
#include "kernels/cross_entropy/cross_entropy.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "kernels/linear/cublas.hpp"
#include "kernels/update/report.hpp"

namespace rt {
namespace {

constexpr float first_loss_scale = 65536;  // f16; halves and doubles from there (kernels/update/control.hpp)

Target target_of(const ExecutorOptions& options) {
  Target t = options.device == Device::cuda ? cuda_target() : cpu_target();
  t.reference_only = !options.optimize.select;
  t.refused = options.refused;
  if (options.optimize.winograd) return t;
  auto refused = options.refused ? *options.refused : std::vector<RefusedRow>{};
  for (const Row& row : options.table)
    if (row.algorithm == Algorithm::winograd)
      refused.push_back({.kind = row.kind, .name = row.name, .reason = "optimize.winograd=false", .failed = false});
  t.refused = std::make_shared<const std::vector<RefusedRow>>(std::move(refused));
  return t;
}

}  // namespace

Executor::Executor(const Model& net, ModelState& state, const ExecutorOptions& options)
    : net_(net),
      state_(state),
      options_(options),
      target_(target_of(options)),
      layout_(options.optimize.layout ? compute_defaults(target_).layout : Layout::nchw),
      input_(options.device, options.largest_batch, {net.config().channels, options.height, options.width}),
      output_(options.device),
      arena_(std::make_shared<Arena>(options.device)) {
  net.check_input(options.height, options.width);
  options_.control.dynamic_scale = options.precision == DType::f16;
  options_.augment.dtype = options.precision;
  options_.augment.layout = layout_;
  if (options.normalise) {
    normalise_ = Storage(options.normalise->spec().bytes(), options.device);
    write_to({options.normalise->spec(), normalise_.data()}, options.device, options.normalise->view().data);
  }
  // On the CPU weights stay as files hold them: its convolutions take them so.
  const Layout weights = options.device == Device::cuda ? layout_ : Layout::nchw;
  state_.place({.device = options.device, .weights = weights, .compute = options.precision});
  if (options_.control.dynamic_scale && state_.control_values()[0] == 1) state_.control_values()[0] = first_loss_scale;
}

void Executor::send(const Batch& batch, double weight, double lr) {
  if (!pushed_) state_.push();
  pushed_ = true;
  input_.send(batch, weight, lr);
}

void Executor::hold(const Dataset& data, const Preparation& preparation, bool training) {
  RT_CHECK(!preparation.random(), "images that differ from epoch to epoch cannot stay on the device");
  std::shared_ptr<Resident>& held = held_[&data];
  if (!held) {
    const int64_t image = preparation.shape().bytes(), threads = threads_in_use();
    const int64_t at_a_time = samples_at_a_time(data.size(), image, threads);
    held = std::make_shared<Resident>();
    held->images = data.size();
    held->bytes = Storage(static_cast<size_t>(data.size() * image), options_.device);
    std::vector<uint8_t> part(static_cast<size_t>(at_a_time * image));
    for (int64_t first = 0; first < data.size(); first += at_a_time) {
      const int64_t count = std::min(at_a_time, data.size() - first);
      const auto place = [&](int64_t i) {
        return std::span(part).subspan(static_cast<size_t>((i - first) * image), static_cast<size_t>(image));
      };
      read_samples(data, first, count, {.threads = threads, .preparation = &preparation, .place = place});
      auto* to = static_cast<uint8_t*>(held->bytes.data()) + first * image;
      write_to({{{count * image}, DType::u8}, to}, options_.device, part.data());
    }
  }
  (training ? held_train_ : held_eval_) = held;
}

Var Executor::images(Tape& tape, const StepKey& key) {
  if (key.source == StepInput::Source::given)
    return convert(tape, tape.external(input_.images(key.batch), "images"), options_.precision, layout_);
  View pixels;
  if (key.source == StepInput::Source::bytes) {
    pixels = input_.pixels(key.batch);
  } else {
    const std::shared_ptr<Resident>& held = key.kind == Kind::train ? held_train_ : held_eval_;
    RT_CHECK(held, "a batch without images, and no data set is held on the device");
    pixels = {{{held->images, net_.config().channels, options_.height, options_.width}, DType::u8}, held->bytes.data()};
  }
  AugmentAttrs attrs = options_.augment;
  if (key.kind == Kind::evaluate) attrs.random = false;
  RT_CHECK(normalise_.data(), "a batch of bytes, and no table to normalise them by");
  return augment(tape, tape.external(pixels, "pixels"), tape.external(input_.rows(key.batch), "rows"),
                 tape.external(input_.samples(key.batch), "samples"), tape.external(input_.epoch(), "epoch"),
                 tape.external({options_.normalise->spec(), normalise_.data()}, "normalise"), attrs);
}

UpdateVars Executor::update_vars(Tape& tape, Var loss, Var control) const {
  UpdateVars v{.weights = tape.external(state_.weights(), "weights"),
               .grads = tape.external(state_.grads(), "gradients"),
               .slots = {},
               .parameters = state_.slices(options_.decay_all),
               .lr = tape.external(input_.lr(), "lr"),
               .loss = loss,
               .control = control,
               .updates = tape.external(state_.updates(), "updates"),
               .running = tape.external(state_.running(), "running"),
               .running_fresh = tape.external(state_.running_fresh(), "running_fresh"),
               .compute = {}};
  for (std::string_view slot : options_.optimizer->slots)
    v.slots[slot] = tape.external(state_.slot(slot), std::string(slot));
  if (state_.has_compute_weights()) v.compute = tape.external(state_.compute_weights(), "compute weights");
  return v;
}

Executor::Recorded Executor::record(Tape& tape, const StepKey& key) {
  const bool training = key.kind == Kind::train;
  const Var labels = tape.external(input_.labels(key.batch), "labels");
  const Var control = tape.external(state_.control(), "control");
  const Var target = tape.external(output_.report(), "report");
  Pass pass = state_.begin(tape, training, !key.first);
  const Var logits = net_(pass, images(tape, key));
  CrossEntropy ce;
  {
    Tape::Scope scope(tape, "loss");
    ce = cross_entropy(tape, logits, labels, training ? options_.label_smoothing : 0.0);
  }
  Var norm, dloss;
  if (training) {
    dloss = tape.external(input_.weight(), "d loss");
    if (options_.control.dynamic_scale) dloss = scaled_weight(tape, dloss, control);
    tape.backward(ce.loss, dloss);
  }
  Tape::Scope scope(tape, "update");
  if (training && key.last) {
    const UpdateVars vars = update_vars(tape, ce.loss, control);
    norm = record_update(tape, vars, *options_.optimizer, options_.optimizer_attrs, options_.control);
  }
  report(tape, ce.loss, ce.correct, control, norm, target);
  return {logits, dloss};
}

Executor::Compiled Executor::compile(const StepKey& key) {
  Tape tape(Tape::Mode::trace, options_.table, target_);
  const Recorded recorded = record(tape, key);
  PlanOptions plan;
  const std::vector<Rewrite> rules = fusion_rules_without(options_.optimize.unfused);
  plan.memory = options_.optimize.memory;
  plan.graph = options_.optimize.graph;
  plan.keep = {recorded.logits};
  if (options_.optimize.plan) {  // else it stands for eager steps, which are what was recorded
    if (options_.optimize.fuse) plan.rewrites = rules;
    plan.recompute = {recompute_named(options_.optimize.recompute), cheap_steps(), recorded.dloss};
  }
  return {recorded.logits, std::make_unique<Plan>(std::move(tape), arena_, std::move(plan))};
}

Executor::Compiled& Executor::plan_of(const StepKey& key) {
  auto it = plans_.find(key);
  if (it == plans_.end()) {
    it = plans_.emplace(key, compile(key)).first;
    tune(key, *it->second.plan);
  }
  return it->second;
}

void Executor::tune(const StepKey& key, Plan& plan) {
  if (options_.tuner && options_.optimize.plan && key.kind == Kind::train) options_.tuner->tune(plan, *arena_);
}

void Executor::run(const StepKey& key) {
  if (options_.optimize.plan) {
    Compiled& compiled = plan_of(key);
    compiled.plan->replay(observer_);
    latest_ = &compiled;
    return;
  }
  Tape tape(Tape::Mode::eager, options_.table, target_);
  const Var logits = record(tape, key).logits;
  eager_logits_ = read_back(tape.view(logits), options_.device);
  latest_ = nullptr;
}

void Executor::enqueue(const Batch& batch, double weight, bool first, bool last, double lr) {
  send(batch, weight, lr);
  run({.kind = Kind::train, .source = StepInput::source_of(batch), .batch = batch.count, .first = first, .last = last});
  output_.post(batch.count);
}

void Executor::enqueue_evaluation(const Batch& batch) {
  send(batch, 0, 0);
  run({.kind = Kind::evaluate, .source = StepInput::source_of(batch), .batch = batch.count});
  output_.post(batch.count);
}

StepResult Executor::train(const Batch& batch, double weight, bool first, bool last, double lr) {
  enqueue(batch, weight, first, last, lr);
  StepResult latest;
  while (const auto r = result(true)) latest = *r;
  return latest;
}

EvalResult Executor::evaluate(const Batch& batch) {
  enqueue_evaluation(batch);
  StepResult r;
  while (const auto next = result(true)) r = *next;
  return {.loss_sum = r.loss * static_cast<double>(r.images), .images = r.images, .top1 = r.top1, .top5 = r.top5};
}

Tensor Executor::logits() const {
  const Tensor raw = latest_ ? read_back(latest_->plan->view(latest_->logits), options_.device)
                             : read_back(eager_logits_.view(), Device::cpu);
  Tensor f32({raw.spec().shape, DType::f32});
  copy_convert(raw.view(), f32.view());
  return f32;
}

std::string Executor::first_bad_layer(const Batch& batch) {
  auto bad = [](const View& host) {
    if (host.spec.dtype == DType::u8 || host.spec.dtype == DType::i32) return false;
    const Tensor wide({host.spec.shape, DType::f64, host.spec.layout});
    copy_convert(host, wide.view());
    return std::any_of(wide.as<double>(), wide.as<double>() + host.numel(), [](double x) { return !std::isfinite(x); });
  };
  const int64_t pixels = batch.count * net_.config().channels * options_.height * options_.width;
  if (batch.images && bad({{{pixels}, DType::f32}, batch.images})) return "the images themselves";
  state_.pull();
  for (const NamedView& p : state_.parameters())
    if (bad(p.view)) return p.name;
  // A plan serves even where training is eager: it has every value at hand right after the step that wrote it, and
  // needs least memory.
  send(batch, 1, 0);
  const StepKey key{
      .kind = Kind::train, .source = StepInput::source_of(batch), .batch = batch.count, .first = true, .last = false};
  Plan& plan = *plan_of(key).plan;
  std::string found;
  plan.replay([&](const Step& step) {
    for (Var v : step.out)
      if (found.empty() && bad(read_back(plan.view(v), options_.device).view()))
        found = rt::format("{} ({})", step.label, step.kind);
  });
  state_.restart_statistics();  // the bad batch has gone through the fresh copy
  return found.empty() ? "none: the batch alone gives finite values" : found;
}

const Plan& Executor::prepared_plan(const Batch& batch, bool training) {
  send(batch, 1, 0.1);
  const StepKey key{.kind = training ? Kind::train : Kind::evaluate,
                    .source = StepInput::source_of(batch),
                    .batch = batch.count,
                    .first = training,
                    .last = training};
  return *plan_of(key).plan;
}

MemoryFigures Executor::memory(int64_t batch, bool training) {
  const Compiled compiled = compile(training ? update_key(batch) : evaluation_key(batch));
  const Plan& plan = *compiled.plan;
  size_t resident = 0;
  for (const auto& [data, held] : held_) resident += held->bytes.bytes();
  const bool on_cuda = options_.device == Device::cuda;
  const int64_t copies = !on_cuda ? 1 : held_train_ ? 0 : 3;  // a batch's bytes lie in place, and are on their way
  const size_t fixed = state_.step_bytes() + resident + (on_cuda ? cublas::workspace_bytes : 0) +
                       static_cast<size_t>(copies * batch * net_.config().channels * options_.height * options_.width);
  // An eager step holds every value at once.
  const size_t arena = options_.optimize.plan ? plan.arena_bytes() : plan.unshared_bytes();
  MemoryFigures f{.arena_bytes = static_cast<int64_t>(arena),
                  .unshared_bytes = static_cast<int64_t>(plan.unshared_bytes()),
                  .fixed_bytes = static_cast<int64_t>(fixed),
                  .peak_bytes = 0};
  if (on_cuda) {
    f.peak_bytes = f.arena_bytes + f.fixed_bytes;
  } else {
    f.peak_bytes = peak_resident_bytes() + f.arena_bytes;
    // The first step makes the copy of the weights.
    if (const View copy = state_.compute_weights(); state_.has_compute_weights() && !copy.data)
      f.peak_bytes += static_cast<int64_t>(copy.spec.bytes());
  }
  return f;
}

std::string Executor::rows(int64_t batch) { return compile(update_key(batch)).plan->explain(); }

std::string Executor::explain(int64_t batch) {
  const StepKey key = update_key(batch);
  const Compiled compiled = compile(key);
  tune(key, *compiled.plan);
  return compiled.plan->explain();
}

}  // namespace rt
