#include "core/plan.hpp"

#include <algorithm>
#include <map>

namespace rt {
namespace {

StepSpecs specs_of(const std::vector<Value>& values, const Step& step) {
  return {step, [&](Var v) -> const Spec& { return values[static_cast<size_t>(v.id)].spec; }};
}

}  // namespace

void Arena::reserve(size_t bytes) {
  if (bytes > storage_.bytes()) {
    storage_ = Storage();  // give back first: old and new need not fit together
    storage_ = Storage(bytes, device_);
  }
}

Plan::Plan(Tape&& traced, std::shared_ptr<Arena> arena, PlanOptions options)
    : list_{std::move(traced.steps_), std::move(traced.values_), {}},
      table_(traced.table_),
      target_(traced.target_),
      arena_(std::move(arena)) {
  RT_CHECK(traced.mode() == Tape::Mode::trace, "a plan is made of a traced tape, not of an eager one");
  auto fits = [&](const Step& step) {
    return find_row(table_, target_, specs_of(list_.values, step).problem()) != nullptr;
  };
  const std::vector<int> counts = rewrite(list_.steps, list_.values, options.rewrites, options.keep, fits);
  for (size_t i = 0; i < counts.size(); ++i) rewrite_counts_.emplace_back(options.rewrites[i].name, counts[i]);
  choose_rows();
  unshared_bytes_ = lifetimes_of(list_, options.keep, options.memory, target_.device).unshared_bytes;
  if (options.memory) repeated_ = recompute(list_, options.keep, target_.device, options.recompute);
  lifetimes_ = lifetimes_of(list_, options.keep, options.memory, target_.device);
  arena_bytes_ = assign_offsets(lifetimes_);
  // A row that goes through the host cannot be captured.
  capture_ = options.graph && target_.device == Device::cuda &&
             std::none_of(steps().begin(), steps().end(), [](const Step& s) { return s.row->last_resort; });
}

void Plan::choose_rows() {
  for (Step& step : list_.steps) {
    const StepSpecs specs = specs_of(list_.values, step);
    const Problem problem = specs.problem();
    step.row = &select_row(table_, target_, problem);
    list_.workspace_bytes.push_back(workspace_bytes(*step.row, problem));
  }
}

void Plan::choose_variant(size_t step, Variant variant, std::string timings) {
  list_.steps[step].variant = variant;
  list_.steps[step].timings = std::move(timings);
}

View Plan::view(Var v) const {
  const Value& of = value(v);
  const size_t block = lifetimes_.block_of[static_cast<size_t>(v.id)];
  return {of.spec, of.external ? of.data : arena_->data() + lifetimes_.blocks[block].offset};
}

void Plan::bind() {
  bound_.clear();
  for (size_t s = 0; s < steps().size(); ++s) {
    Bound bound;
    for (Var v : steps()[s].in) bound.in.push_back(view(v));
    for (Var v : steps()[s].out) bound.out.push_back(view(v));
    bound.workspace = arena_->data() + lifetimes_.blocks[list_.values.size() + s].offset;
    bound_.push_back(std::move(bound));
  }
  bound_to_ = arena_->data();
  graph_.reset();  // it holds the old addresses
}

void Plan::replay(const Observer& after_step) {
  RT_CHECK(threads_in_use() == planned_threads_,
           "a plan made for {} threads cannot run with {}: workspaces are sized for the number of threads",
           planned_threads_, threads_in_use());
  arena_->reserve(arena_bytes_);
  if (bound_to_ != arena_->data() || bound_.empty()) bind();
  if (!capture_ || after_step || !warm_) {
    run_steps(after_step);
    warm_ = true;
    return;
  }
  void* stream = stream_of(target_);
  if (!graph_) {
    cuda::Graph::begin(stream);
    try {
      run_steps({});
    } catch (...) {
      cuda::Graph::abandon(stream);
      throw;
    }
    graph_ = cuda::Graph::end(stream);
  }
  graph_.launch(stream);
}

void Plan::run_steps(const Observer& after_step) {
  void* stream = stream_of(target_);
  for (size_t s = 0; s < bound_.size(); ++s) {
    const Step& step = steps()[s];
    run_row(*step.row, {.ops = step.ops,
                        .in = bound_[s].in,
                        .out = bound_[s].out,
                        .workspace = bound_[s].workspace,
                        .stream = stream,
                        .variant = step.variant});
    if (after_step) after_step(step);
  }
}

int Plan::rewritten(std::string_view rule) const {
  for (const auto& [name, count] : rewrite_counts_)
    if (name == rule) return count;
  return 0;
}

std::string Plan::explain() const {
  std::vector<std::string> lines;
  std::map<std::string, int> count;
  for (const Step& step : steps()) {
    const StepSpecs specs = specs_of(list_.values, step);
    const std::string shape = specs.out_specs.empty() ? "" : specs.out_specs[0].str();
    const std::string line =
        rt::format("{:<26} {:<28} {}{}{}", step.kind, shape, explain_row(table_, target_, specs.problem()),
                   step.timings.empty() ? "" : ", ", step.timings);
    if (count[line]++ == 0) lines.push_back(line);
  }
  std::string text;
  for (const std::string& line : lines) text += rt::format("{:>4}x {}\n", count[line], line);
  if (repeated_ > 0) text += rt::format("{} steps run a second time to save memory (optimize.recompute)\n", repeated_);
  return text;
}

}  // namespace rt
