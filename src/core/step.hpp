// A step is the unit of work: a kind ("batch_norm.apply"), the values it reads and writes, and the attributes of the op
// that recorded it. A row is one implementation of a kind; the table lists rows best first and the first that fits
// runs.
#pragma once
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/device.hpp"
#include "core/tensor.hpp"

namespace rt {

class Op;

struct Var {  // a value on a tape
  int id = -1;
  explicit operator bool() const { return id >= 0; }
  friend bool operator==(Var, Var) = default;
};

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
  const Op* op;
  std::span<const Spec> in, out;
  const Op* last_op = nullptr;  // as Step's
  int capability = 0;           // the target's, for Row::refuse alone
};

// How a row may go about its work: the same bits in the same workspace, so that time alone decides (kernels/tuning.hpp).
struct Variant {
  int64_t block = 0;      // how much of it passes through a cache at a time; 0: the row's usual size
  bool prefetch = false;  // memory that comes next, while the present is worked on
  bool operator==(const Variant&) const = default;
  std::string str() const;                                     // "48", "48 prefetch"
  static std::optional<Variant> parse(std::string_view text);  // of str()
};

struct Args {  // what a running row gets
  const Op* op;
  std::span<const View> in, out;
  void* workspace;              // 64-byte aligned, of the size the row asked for
  void* stream;                 // CUDA stream; null on the CPU
  const Op* last_op = nullptr;  // as Step's
  Variant variant = {};         // one of the row's
};

struct Row {
  std::string_view kind;  // "conv2d.forward"
  std::string_view name;  // "cpu.avx512.direct"
  Device device = Device::cpu;
  int min_capability = 0;
  std::string (*refuse)(const Problem&) = nullptr;  // "" when the row fits, else the reason; null: fits everything
  void (*run)(const Args&) = nullptr;               // only enqueues work: no allocation, no host read of device data
  size_t (*workspace)(const Problem&) = nullptr;    // bytes; null: none
  int overwrites = -1;       // out[0] may take the memory of in[overwrites] when nobody else needs it
  bool last_resort = false;  // only where the self-test refused another row of the kind, or no other fits
  // What Args::variant may be, the usual one first. Fewer than two, or null: nothing to choose.
  std::vector<Variant> (*variants)(const Problem&) = nullptr;
};

struct Step {
  std::string_view kind;
  std::shared_ptr<const Op> op;
  std::vector<Var> in, out;  // state that a step updates stands in both
  std::string label;         // the layer that recorded it: "layer1.0.bn1"
  const Row* row = nullptr;
  // Of a step made from several neighbours: what recorded the last of them. Rules that replace step by step keep it (rewrite.hpp).
  std::shared_ptr<const Op> last_op = nullptr;
  Variant variant = {};  // of the row
  std::string timings;   // why this one, for --explain
};

// What a step reads and writes, by whoever knows its values: spec_of(Var) gives a Spec.
struct StepSpecs {
  template <class F>
  StepSpecs(const Step& step, F&& spec_of) : op(step.op.get()), last_op(step.last_op.get()) {
    for (Var v : step.in) in_specs.push_back(spec_of(v));
    for (Var v : step.out) out_specs.push_back(spec_of(v));
  }
  Problem problem() const { return {op, in_specs, out_specs, last_op}; }
  const Op *op, *last_op;
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

// The first row of `kind` that fits; else the device's last resort, with a warning; else an error that lists every refusal.
const Row& select_row(std::span<const Row> table, const Target& target, std::string_view kind, const Problem& problem);
// The same, or null where no row but a last resort fits. Under target.reference_only: null where none is a reference.
const Row* find_row(std::span<const Row> table, const Target& target, std::string_view kind, const Problem& problem);
// "cpu.avx2 (not cpu.avx512: needs avx512)" for --explain.
std::string explain_row(std::span<const Row> table, const Target& target, std::string_view kind,
                        const Problem& problem);

}  // namespace rt
