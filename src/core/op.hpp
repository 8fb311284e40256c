// An op is immutable: attributes, and three adjacent functions. `infer` is pure. `forward` and `backward` record steps
// on a tape; on an eager tape a step runs as it is recorded, on a tracing one it is only recorded.
#pragma once
#include <memory>
#include <span>
#include <string_view>
#include <typeinfo>
#include <vector>

#include "core/step.hpp"

namespace rt {

class Tape;
[[noreturn]] void fail_attributes(Ops ops, const char* wanted);

// The gradients of one recorded op, while its backward steps are being recorded.
class Gradients {
 public:
  std::span<const Var> in, out;    // the op's inputs, and its outputs (with whatever forward saved among them)
  std::span<const Var> dout;       // gradient of each output; an empty Var where none arrives
  bool wants(int i) const;         // whether anybody needs the gradient of in[i]
  Var din(int i);                  // the value to write it to
  void pass(int i, Var gradient);  // it equals this value, nothing to compute

 private:
  friend class Tape;
  Gradients(Tape& tape, size_t inputs) : tape_(tape), din_(inputs) {}
  Tape& tape_;
  std::vector<Var> din_;
};

class Op {
 public:
  virtual ~Op() = default;
  virtual std::string_view name() const = 0;
  // Specs of the outputs, then of the values that forward saves for backward. Throws where the inputs do not fit
  // together.
  virtual std::vector<Spec> infer(std::span<const Spec> in) const = 0;
  virtual void forward(Tape& tape, std::span<const Var> in, std::span<const Var> out) const = 0;
  virtual void backward(Tape& tape, Gradients& g) const = 0;
};

// In a row: the first of the step's ops that is an O. Error(runtime) where none is.
template <class O>
const O& attributes(Ops ops) {
  for (const OpPtr& op : ops) {
    const Op& each = *op;
    if (typeid(each) == typeid(O)) return static_cast<const O&>(each);
  }
  fail_attributes(ops, typeid(O).name());
}

}  // namespace rt
