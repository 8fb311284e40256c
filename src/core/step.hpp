// A step is the unit of work: a kind ("batch_norm.apply"), the values it reads and writes, and the ops that it came
// from, which hold the attributes. A row is one implementation of a kind; the table lists rows best first and the first
// that fits runs.
#pragma once
#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/device.hpp"
#include "core/kind.hpp"
#include "core/tensor.hpp"

namespace rt {

class Op;
using OpPtr = std::shared_ptr<const Op>;
using Ops = std::span<const OpPtr>;  // rows read attributes of the one they look for (core/op.hpp)

struct Var {  // a value on a tape
  int id = -1;
  explicit operator bool() const { return id >= 0; }
  friend bool operator==(Var, Var) = default;
};

inline bool contains(std::span<const Var> list, Var v) { return std::find(list.begin(), list.end(), v) != list.end(); }

struct RefusedRow {  // by the self-test, or by a switch
  std::string_view kind, name;
  std::string reason;
  bool failed = true;  // its self-test, so another row of the kind may be the last resort
};

struct Target {  // what steps run on, probed once
  Device device = Device::cpu;
  int capability = isa_scalar;  // an Isa on the CPU, a compute capability (61, 90) on CUDA
  bool reference_only = false;  // optimize.select=false: the last row that fits, which is the reference
  std::shared_ptr<const std::vector<RefusedRow>> refused = {};
};
Target cpu_target();
Target cuda_target();                   // of the device in use; RT_FORCE_SM=61 lowers its capability
void* stream_of(const Target& target);  // null on the CPU

struct Problem {  // what a row may look at to decide whether it fits
  Kind kind;      // the row's, with the names of its operands
  Ops ops;
  std::span<const Spec> in, out;
  int capability = 0;  // the target's, for Row::refuse alone

  const Spec* find_input(std::string_view operand) const { return at(in, kind.input(operand)); }
  const Spec* find_output(std::string_view operand) const { return at(out, kind.output(operand)); }
  const Spec& input(std::string_view operand) const;  // Error(runtime) where the kind names no such operand
  const Spec& output(std::string_view operand) const;

 private:
  static const Spec* at(std::span<const Spec> list, int i) {
    return i < 0 || static_cast<size_t>(i) >= list.size() ? nullptr : &list[static_cast<size_t>(i)];
  }
};

// How a row may go about its work: the same bits in the same workspace, so that time alone decides
// (kernels/tuning.hpp).
struct Variant {
  int64_t block = 0;      // how much of it passes through a cache at a time; 0: the row's usual size
  bool prefetch = false;  // memory that comes next, while the present is worked on
  bool operator==(const Variant&) const = default;
  std::string str() const;                                     // "48", "48 prefetch"
  static std::optional<Variant> parse(std::string_view text);  // of str()
};

struct Args {  // what a running row gets
  Kind kind;   // the row's
  Ops ops;
  std::span<const View> in, out;
  void* workspace = nullptr;  // 64-byte aligned, of the size the row asked for
  void* stream = nullptr;     // CUDA stream; null on the CPU
  Variant variant = {};       // one of the row's

  const View* find_input(std::string_view operand) const { return at(in, kind.input(operand)); }
  const View* find_output(std::string_view operand) const { return at(out, kind.output(operand)); }
  const View& input(std::string_view operand) const;  // Error(runtime) where the kind names no such operand
  const View& output(std::string_view operand) const;

 private:
  static const View* at(std::span<const View> list, int i) {
    return i < 0 || static_cast<size_t>(i) >= list.size() ? nullptr : &list[static_cast<size_t>(i)];
  }
};

enum class Algorithm : uint8_t {  // how a row computes, where something asks for it
  usual,
  reference,  // the definition: what optimize.select=false takes
  winograd,   // fewer products: what optimize.winograd=false leaves out
};

struct Row {
  Kind kind;         // "conv2d.forward: x w -> y"
  std::string name;  // "cpu.avx512.direct", for people; nothing follows from it
  Device device = Device::cpu;
  int min_capability = 0;
  std::string (*refuse)(const Problem&) = nullptr;  // "" when the row fits, else the reason; null: fits everything
  void (*run)(const Args&) = nullptr;               // only enqueues work: no allocation, no host read of device data
  size_t (*workspace)(const Problem&) = nullptr;    // bytes; null: none
  std::string_view overwrites = {};  // out[0] may take the memory of this input when nobody else needs it; empty: none
  bool last_resort = false;          // only where the self-test refused another row of the kind, or no other fits
  // What Args::variant may be, the usual one first. Fewer than two, or null: nothing to choose.
  std::vector<Variant> (*variants)(const Problem&) = nullptr;
  Algorithm algorithm = Algorithm::usual;
};

struct Step {
  std::string_view kind;
  std::vector<OpPtr> ops;    // what recorded it; of a fused step, what recorded each of those it replaces (rewrite.hpp)
  std::vector<Var> in, out;  // state that a step updates stands in both
  std::string label;         // the layer that recorded it: "layer1.0.bn1"
  const Row* row = nullptr;
  Variant variant = {};  // of the row
  std::string timings;   // why this one, for --explain
};

// What a step reads and writes, by whoever knows its values: spec_of(Var) gives a Spec. The step outlives this.
struct StepSpecs {
  template <class F>
  StepSpecs(const Step& step, F&& spec_of) : kind(step.row ? step.row->kind : Kind(step.kind)), ops(step.ops) {
    for (Var v : step.in) in_specs.push_back(spec_of(v));
    for (Var v : step.out) out_specs.push_back(spec_of(v));
  }
  Problem problem() const { return {kind, ops, in_specs, out_specs}; }
  Kind kind;
  Ops ops;
  std::vector<Spec> in_specs, out_specs;
};
// The same with their memory, which a row needs to run: view_of(Var) gives a View.
struct StepViews : StepSpecs {
  template <class F>
  StepViews(const Step& step, F&& view_of) : StepSpecs(step, [&](Var v) { return view_of(v).spec; }) {
    for (Var v : step.in) in.push_back(view_of(v));
    for (Var v : step.out) out.push_back(view_of(v));
  }
  std::vector<View> in, out;
};

// A row's functions, called with the names that it has for its operands.
std::string refusal_of(const Row& row, Problem problem);  // "" where it fits
size_t workspace_bytes(const Row& row, Problem problem);
void run_row(const Row& row, Args args);

// The first row of the problem's kind that fits; else the device's last resort, with a warning; else an error that
// lists every refusal.
const Row& select_row(std::span<const Row> table, const Target& target, const Problem& problem);
// The same, or null where no row but a last resort fits. Under target.reference_only: null where none is a reference.
const Row* find_row(std::span<const Row> table, const Target& target, const Problem& problem);
// "cpu.avx2 (not cpu.avx512: needs avx512)" for --explain.
std::string explain_row(std::span<const Row> table, const Target& target, const Problem& problem);

}  // namespace rt
