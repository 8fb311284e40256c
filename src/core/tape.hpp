// The tape records a training step as a list of steps over values. Eager: each step runs as it is recorded, in memory
// of its own. Trace: nothing runs and nothing is allocated; the list becomes a Plan. backward() appends to the same
// list.
#pragma once
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/op.hpp"

namespace rt {

struct Value {
  Spec spec;
  std::string name;
  void* data = nullptr;   // external memory, or the eager tape's own; null on a trace
  bool external = false;  // lives outside: inputs, parameters, their gradients, state
  bool needs_grad = false;
};

class Tape {
 public:
  enum class Mode { eager, trace };
  Tape(Mode mode, std::span<const Row> table, const Target& target);

  Mode mode() const { return mode_; }
  const Target& target() const { return target_; }

  // A value whose memory is the caller's and outlives the tape and every plan made of it.
  Var external(const View& view, std::string name, bool needs_grad = false);
  Var make(const Spec& spec, std::string name = {});

  std::vector<Var> apply(OpPtr op, std::span<const Var> in);  // all of infer's values; [0] is the op's result
  Var apply(OpPtr op, std::initializer_list<Var> in) {
    return apply(std::move(op), std::span(in.begin(), in.size()))[0];
  }

  // Called by ops (and for what has no op of its own, as the update): records one step, and runs it on an eager tape.
  void step(std::string_view kind, OpPtr op, std::vector<Var> in, std::vector<Var> out);
  void step(std::string_view kind, const Op* self, std::vector<Var> in, std::vector<Var> out);  // from within an op

  // d in `target` is where the gradient of `parameter` is to be written; with `accumulate` it is added to what is
  // there.
  void set_gradient_target(Var parameter, Var target, bool accumulate);
  // Appends the backward steps of everything that `loss` depends on; `dloss` holds d(final)/d(loss).
  void backward(Var loss, Var dloss);
  Var gradient(Var v) const;  // after backward(); an empty Var where none arrived

  const Value& value(Var v) const { return values_[static_cast<size_t>(v.id)]; }
  const Spec& spec(Var v) const { return value(v).spec; }
  View view(Var v) const;  // memory of a value; eager or external only
  const std::vector<Step>& steps() const { return steps_; }

  // Steps recorded while a Scope lives carry its label: `Tape::Scope scope(tape, "layer1.0.conv1");`
  class Scope {
   public:
    Scope(Tape& tape, std::string label) : tape_(tape), before_(std::move(tape.label_)) {
      tape.label_ = std::move(label);
    }
    ~Scope() { tape_.label_ = std::move(before_); }
    Scope(const Scope&) = delete;

   private:
    Tape& tape_;
    std::string before_;
  };

 private:
  friend class Gradients;
  friend class Plan;
  struct Applied {
    OpPtr op;
    std::vector<Var> in, out;
    std::string label;
  };
  struct GradientTarget {
    Var parameter, target;
    bool accumulate;
  };
  void run(const Step& step);
  void add_gradient(Var of, Var contribution);
  GradientTarget* target_of(Var parameter);

  Mode mode_;
  std::span<const Row> table_;
  Target target_;
  std::string label_;
  std::vector<Value> values_;
  std::vector<Storage> owned_;
  Storage scratch_;
  std::vector<Step> steps_;
  std::vector<Applied> applied_;
  std::vector<Var> gradients_;  // by value id
  std::vector<GradientTarget> targets_;
};

}  // namespace rt
