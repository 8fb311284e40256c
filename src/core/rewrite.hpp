// Rewrite rules: a sequence of steps and the steps that replace it, both as text. A rule is at once the definition of a
// fused step, its test oracle (run both, compare) and its fallback (leave the sequence alone).
//
//   {"bn_relu.forward", Gather{{"batch_norm.apply: x mean rstd gamma beta -> t", "relu.forward: t -> y"},
//                              {"bn_relu.apply: x mean rstd gamma beta -> y"}}}
//
// Names stand for values. A name that the new steps do not mention vanishes, so nobody else may use that value.
//
// A new step may have implementations for some problems only, and no reference but the sequence: where none fits, the
// sequence stays.
#pragma once
#include <functional>
#include <string_view>
#include <variant>
#include <vector>

#include "core/tape.hpp"

namespace rt {

// The new steps stand together, where the last of the old ones stood. What lies between the old ones goes before the
// new ones where it can, else after. A new step comes from the ops of all that it replaces, and has the label of the
// first.
struct Gather {
  std::vector<std::string_view> from, to;
};

// Each new step stands in the place of the old one beside it, as steps of the forward and of the backward pass must;
// where the new one is empty, nothing does. It has the label and the ops of that old step, and then the ops of the
// other ones.
struct InPlace {
  struct Pair {
    std::string_view from, to;
  };
  std::vector<Pair> steps;
};

// All steps of one kind become one of another kind, in the place of the last of them: those that are `alike` the last
// one, and whose work nobody waits for before that place. The new step reads what the first of them reads, then what
// the second reads and so on, and writes likewise.
struct Collect {
  std::string_view from, to;
  bool (*alike)(const Problem&, const Problem&);
};

struct Rewrite {
  std::string_view name;
  std::variant<Gather, InPlace, Collect> rule;

  std::vector<std::string_view> new_steps() const;  // as text; of Collect the kind alone
};

// Applies each rule wherever it matches, in order, and returns how often each one did. `keep`: values that somebody
// outside the list reads. `fits`: whether a new step can be run; null: all can.
std::vector<int> rewrite(std::vector<Step>& steps, const std::vector<Value>& values, std::span<const Rewrite> rules,
                         std::span<const Var> keep, const std::function<bool(const Step&)>& fits = {});

}  // namespace rt
