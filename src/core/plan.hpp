// A plan is a traced tape made ready to be replayed: rewritten by rules, every step bound to its row, steps repeated
// where that saves memory, every value placed in one arena by lifetime. Plans that never run at the same time share an
// Arena, which is as large as the largest needs.
#pragma once
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/cuda.hpp"
#include "core/lifetime.hpp"
#include "core/recompute.hpp"
#include "core/rewrite.hpp"
#include "core/tape.hpp"

namespace rt {

class Arena {
 public:
  explicit Arena(Device device = Device::cpu) : device_(device) {}
  // Grows to at least `bytes`. Contents do not survive growth: plans keep nothing in the arena between replays.
  void reserve(size_t bytes);
  std::byte* data() const { return static_cast<std::byte*>(storage_.data()); }
  size_t bytes() const { return storage_.bytes(); }

 private:
  Device device_;
  Storage storage_;
};

struct PlanOptions {
  std::span<const Rewrite> rewrites = {};  // optimize.fuse: empty when off
  bool memory = true;               // optimize.memory: share memory by lifetime, work in place where a row allows it
  std::vector<Var> keep = {};       // values that are read after a replay
  RecomputeOptions recompute = {};  // optimize.recompute; nothing without `memory`
  bool graph = false;  // optimize.graph: on CUDA, capture the second replay and launch it whole from then on
};

class Plan {
 public:
  // Nothing is allocated until the first replay, so a plan also answers how much memory a step would need.
  Plan(Tape&& traced, std::shared_ptr<Arena> arena, PlanOptions options);

  using Observer = std::function<void(const Step&)>;  // called after each step of a replay
  void replay(const Observer& after_step = {});

  size_t arena_bytes() const { return arena_bytes_; }        // with sharing (or without, where memory is off)
  size_t unshared_bytes() const { return unshared_bytes_; }  // the sum of all values and the largest workspace
  int repeated() const { return repeated_; }                 // steps that run a second time to save memory
  int rewritten(std::string_view rule) const;                // how often a rewrite rule applied
  const std::vector<Step>& steps() const { return list_.steps; }
  const Spec& spec(Var v) const { return value(v).spec; }
  const Value& value(Var v) const { return list_.values[static_cast<size_t>(v.id)]; }
  // From the next replay on; `timings` is what explain() says beside the row.
  void choose_variant(size_t step, Variant variant, std::string timings);
  View view(Var v) const;       // of a kept or external value, after a replay
  std::string explain() const;  // a line per distinct step: count, kind, specs, the chosen row, why better ones refused

 private:
  void choose_rows();
  void bind();
  void run_steps(const Observer& after_step);

  struct Bound {
    std::vector<View> in, out;
    void* workspace = nullptr;
  };
  StepList list_;
  std::span<const Row> table_;
  Target target_;
  std::shared_ptr<Arena> arena_;
  std::vector<std::pair<std::string, int>> rewrite_counts_;
  Lifetimes lifetimes_;
  std::vector<Bound> bound_;
  std::byte* bound_to_ = nullptr;
  int planned_threads_ = threads_in_use();  // workspaces are sized for as many
  size_t arena_bytes_ = 0, unshared_bytes_ = 0;
  int repeated_ = 0;
  bool capture_ = false;  // once warm: the first replay lets libraries choose and allocate
  bool warm_ = false;
  cuda::Graph graph_;
};

}  // namespace rt
