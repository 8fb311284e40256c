// Rewrite rules: a sequence of steps and the steps that replace it, both as text. A rule is at once the definition of a
// fused step, its test oracle (run both, compare) and its fallback (leave the sequence alone).
//
//   {"bn_relu.forward", {"batch_norm.apply: x mean rstd gamma beta -> t", "relu.forward: t -> y"},
//                       {"bn_relu.apply: x mean rstd gamma beta -> y"}}
//
// Names stand for values. A name that the right side does not mention vanishes, so nobody else may use that value.
//
// Where both sides are equally long, each new step stands in the place of the one it is written beside, as steps of the forward
// and of the backward pass must; "" where nothing does.
//
// A new step may have implementations for some problems only, and no reference but the sequence: where none fits, the
// sequence stays.
#pragma once
#include <functional>
#include <string_view>
#include <vector>

#include "core/tape.hpp"

namespace rt {

struct Rewrite {
  std::string_view name;
  std::vector<std::string_view> from, to;
  // Where set, both sides are no more than a kind: the last step of the one kind, and all before it that are like it, become a
  // single step of the other, in the place of the last. It reads what the first reads, then what the second reads and so on, and writes likewise. A step
  // whose work is waited for before that place stays.
  bool (*alike)(const Problem&, const Problem&) = nullptr;
};

// Applies each rule wherever it matches, in order, and returns how often each one did. The new steps carry the label and op of
// the first replaced step, and as last_op that of the last; where they stand place by place, all three of the step in whose
// place they stand. What lies between the replaced ones goes before the new ones where it can, else after. `keep`: values that
// somebody outside the list reads. `fits`: whether a new step can be run; null: all can.
std::vector<int> rewrite(std::vector<Step>& steps, const std::vector<Value>& values, std::span<const Rewrite> rules,
                         std::span<const Var> keep, const std::function<bool(const Step&)>& fits = {});

}  // namespace rt
