// The seam of optimizers. Weights, gradients and each of an optimizer's slots are flat f32 buffers that hold all
// parameters at once, in one order. An optimizer records the steps that turn gradients into new weights and slots; what
// is the same for all (norm, clipping, loss scale, the half copy, the count of updates) stands around them and is
// control.hpp's. One table, in optimizer.cpp, lists them.
#pragma once
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/update/control.hpp"

namespace rt {

// What a configuration says; an optimizer takes what it knows.
struct OptimizerAttrs {
  double momentum = 0.9;
  bool nesterov = true;
  double weight_decay = 5e-4;
};

// Where a parameter lies in each flat buffer of parameters (or a statistic in those of statistics).
struct FlatSlice {
  std::string name;
  Shape shape;
  int64_t offset = 0;            // in elements
  bool decays = true;            // all that decay stand before all that do not
  Layout layout = Layout::nchw;  // memory order of one with four dimensions
  View of(const View& flat) const;
};

struct UpdateVars {
  Var weights, grads;                     // [P] f32
  std::map<std::string_view, Var> slots;  // [P] f32 each, by the optimizer's names
  std::vector<FlatSlice> parameters;
  Var lr, loss;                // [] f32
  Var control, updates;        // as in control.hpp
  Var running, running_fresh;  // [S]: committed and this step's statistics; empty Vars where there are none
  Var compute;                 // [C] f16 or bf16, C <= P; empty where weights are computed with as they are

  Var slot(std::string_view name) const;  // throws where it is missing
};

struct Optimizer {
  std::string_view name;                // optimizer.name
  std::vector<std::string_view> slots;  // a checkpoint holds them as "optimizer.SLOT.PARAMETER"
  // Steps that read norm, and change weights and slots only where it says that the update happens. vars.updates holds
  // the count of updates before this one.
  void (*record)(Tape& tape, const UpdateVars& vars, Var norm, const OptimizerAttrs& attrs);
};

std::span<const Optimizer> optimizers();
std::vector<std::string_view> optimizer_names();
const Optimizer& optimizer_named(std::string_view name);  // Error(usage) names those that there are

// How many elements at the start of a flat buffer decay. Throws where a parameter before their end does not.
int64_t decayed_elements(std::span<const FlatSlice> parameters);

// All steps of an update, in order. Returns norm.
Var record_update(Tape& tape, const UpdateVars& vars, const Optimizer& optimizer, const OptimizerAttrs& attrs,
                  const ControlAttrs& control);

}  // namespace rt
