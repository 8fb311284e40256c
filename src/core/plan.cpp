#include "core/plan.hpp"

#include <algorithm>
#include <map>

namespace rt {
namespace {

// A cache line on the CPU; on CUDA what its allocator gives, which libraries are used to.
size_t round_up(size_t bytes, Device device) {
  const size_t alignment = device == Device::cuda ? 256 : 64;
  return (bytes + alignment - 1) / alignment * alignment;
}

struct Specs {  // of what a step reads and writes
  std::vector<Spec> in, out;
  Specs(const Tape& tape, const Step& step) {
    for (Var v : step.in) in.push_back(tape.spec(v));
    for (Var v : step.out) out.push_back(tape.spec(v));
  }
  Problem problem(const Step& step) const { return {step.op.get(), in, out}; }
};

struct Block {  // memory that one value, or several that follow each other in place, needs from step `first` to `last`
  size_t bytes = 0, offset = 0;
  int first = 0, last = -1;
};

// Greedy by size: the largest block first, each at the lowest offset that is free during its whole life.
// Pisarchyk & Lee, "Efficient memory management for deep neural net inference", 2020, section 5.2.
size_t assign_offsets(std::vector<Block*> blocks) {
  std::stable_sort(blocks.begin(), blocks.end(), [](const Block* a, const Block* b) { return a->bytes > b->bytes; });
  std::vector<const Block*> placed;  // by offset
  size_t top = 0;
  for (Block* block : blocks) {
    size_t offset = 0;
    for (const Block* other : placed) {
      if (other->last < block->first || other->first > block->last) continue;
      if (offset + block->bytes <= other->offset) break;
      offset = std::max(offset, other->offset + other->bytes);
    }
    block->offset = offset;
    placed.insert(std::upper_bound(placed.begin(), placed.end(), block,
                                   [](const Block* a, const Block* b) { return a->offset < b->offset; }),
                  block);
    top = std::max(top, offset + block->bytes);
  }
  return top;
}

}  // namespace

void Arena::reserve(size_t bytes) {
  if (bytes > storage_.bytes()) {
    storage_ = Storage();  // give back first: old and new need not fit together
    storage_ = Storage(bytes, device_);
  }
}

Plan::Plan(Tape&& traced, std::shared_ptr<Arena> arena, PlanOptions options)
    : tape_(std::move(traced)), arena_(std::move(arena)) {
  RT_CHECK(tape_.mode() == Tape::Mode::trace, "a plan is made of a traced tape, not of an eager one");
  auto fits = [&](const Step& step) {
    const Specs specs(tape_, step);
    return find_row(tape_.table_, tape_.target_, step.kind, specs.problem(step)) != nullptr;
  };
  const std::vector<int> counts = rewrite(tape_.steps_, tape_.values_, options.rewrites, options.keep, fits);
  for (size_t i = 0; i < counts.size(); ++i) rewrite_counts_.emplace_back(options.rewrites[i].name, counts[i]);
  choose_rows();
  place(options.keep, options.memory);
  // A row that goes through the host cannot be captured.
  capture_ = options.graph && tape_.target_.device == Device::cuda &&
             std::none_of(steps().begin(), steps().end(), [](const Step& s) { return s.row->last_resort; });
}

void Plan::choose_rows() {
  for (Step& step : tape_.steps_) {
    const Specs specs(tape_, step);
    const Problem problem = specs.problem(step);
    step.row = &select_row(tape_.table_, tape_.target_, step.kind, problem);
    workspace_bytes_.push_back(step.row->workspace ? step.row->workspace(problem) : 0);
  }
}

void Plan::place(const std::vector<Var>& keep, bool share) {
  const std::vector<Step>& steps = tape_.steps_;
  const int end = static_cast<int>(steps.size());
  std::vector<int> first(tape_.values_.size(), end), last(tape_.values_.size(), -1);
  auto touch = [&](Var v, int s) {
    const size_t i = static_cast<size_t>(v.id);
    first[i] = std::min(first[i], s), last[i] = std::max(last[i], s);
  };
  for (int s = 0; s < end; ++s) {
    for (Var v : steps[static_cast<size_t>(s)].in) touch(v, s);
    for (Var v : steps[static_cast<size_t>(s)].out) touch(v, s);
  }
  for (Var v : keep) last[static_cast<size_t>(v.id)] = end;

  std::vector<Block> blocks(tape_.values_.size() + steps.size());
  std::vector<size_t> block_of(tape_.values_.size());
  for (size_t i = 0; i < tape_.values_.size(); ++i) {
    block_of[i] = i;
    if (tape_.values_[i].external || last[i] < 0) continue;
    blocks[i] = {round_up(tape_.values_[i].spec.bytes(), tape_.target_.device), 0, share ? first[i] : 0,
                 share ? last[i] : end};
    unshared_bytes_ += blocks[i].bytes;
  }
  // In place: an output that may overwrite an input nobody reads later takes over that input's block.
  for (int s = 0; share && s < end; ++s) {
    const Step& step = steps[static_cast<size_t>(s)];
    if (step.row->overwrites < 0) continue;
    const size_t from = static_cast<size_t>(step.in[static_cast<size_t>(step.row->overwrites)].id);
    const size_t to = static_cast<size_t>(step.out[0].id);
    const bool once =
        std::count_if(step.in.begin(), step.in.end(), [&](Var v) { return static_cast<size_t>(v.id) == from; }) == 1;
    Block& block = blocks[block_of[from]];
    if (from == to || !once || tape_.values_[from].external || tape_.values_[to].external || last[from] != s ||
        first[to] != s || block_of[to] != to || blocks[to].bytes != block.bytes)
      continue;
    block.last = last[to];
    block_of[to] = block_of[from];
    blocks[to] = {};
  }
  size_t largest_workspace = 0;
  for (size_t s = 0; s < steps.size(); ++s) {
    const int at = static_cast<int>(s);
    blocks[tape_.values_.size() + s] = {round_up(workspace_bytes_[s], tape_.target_.device), 0, at, at};
    largest_workspace = std::max(largest_workspace, round_up(workspace_bytes_[s], tape_.target_.device));
  }
  unshared_bytes_ += largest_workspace;

  std::vector<Block*> used;
  for (Block& block : blocks)
    if (block.bytes > 0) used.push_back(&block);
  arena_bytes_ = assign_offsets(used);
  for (size_t i = 0; i < tape_.values_.size(); ++i) offset_.push_back(blocks[block_of[i]].offset);
  for (size_t s = 0; s < steps.size(); ++s) workspace_offset_.push_back(blocks[tape_.values_.size() + s].offset);
}

View Plan::view(Var v) const {
  const Value& value = tape_.value(v);
  return {value.spec, value.external ? value.data : arena_->data() + offset_[static_cast<size_t>(v.id)]};
}

void Plan::bind() {
  bound_.clear();
  for (size_t s = 0; s < steps().size(); ++s) {
    Bound bound;
    for (Var v : steps()[s].in) bound.in.push_back(view(v));
    for (Var v : steps()[s].out) bound.out.push_back(view(v));
    bound.workspace = arena_->data() + workspace_offset_[s];
    bound_.push_back(std::move(bound));
  }
  bound_to_ = arena_->data();
  graph_.reset();  // it holds the old addresses
}

void Plan::replay(const Observer& after_step) {
  RT_CHECK(threads_in_use() <= planned_threads_,
           "a plan made for {} threads cannot run with {}: its workspaces are too small", planned_threads_,
           threads_in_use());
  arena_->reserve(arena_bytes_);
  if (bound_to_ != arena_->data() || bound_.empty()) bind();
  if (!capture_ || after_step || !warm_) {
    run_steps(after_step);
    warm_ = true;
    return;
  }
  void* stream = stream_of(tape_.target_);
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
  void* stream = stream_of(tape_.target_);
  for (size_t s = 0; s < bound_.size(); ++s) {
    const Step& step = steps()[s];
    step.row->run({step.op.get(), bound_[s].in, bound_[s].out, bound_[s].workspace, stream});
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
    const Specs specs(tape_, step);
    const std::string shape = specs.out.empty() ? "" : specs.out[0].str();
    const std::string line = fmt::format("{:<26} {:<28} {}", step.kind, shape,
                                         explain_row(tape_.table_, tape_.target_, step.kind, specs.problem(step)));
    if (count[line]++ == 0) lines.push_back(line);
  }
  std::string text;
  for (const std::string& line : lines) text += fmt::format("{:>4}x {}\n", count[line], line);
  return text;
}

}  // namespace rt
