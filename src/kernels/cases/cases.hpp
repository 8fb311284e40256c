// One entry per case of an op drives two things: the gradient check (tools/gradcheck) and the parity of every row with
// the reference (tests/test_ops.cpp). A new op adds its cases (operators.hpp) and has both. Cases say shapes and how
// inputs are filled; type and layout are chosen by whoever runs them.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/tape.hpp"

namespace rt {

enum class Role : uint8_t {
  activation,  // differentiable, in the layout under test
  image,       // an activation that needs no gradient, as the input of the first layer
  parameter,   // differentiable, always row-major (KCRS)
  state,       // not differentiable, row-major; a step may update it
  labels,      // i32 in 0..high-1
  bytes,       // u8 in 0..255, row-major
};

enum class Fill : uint8_t {
  uniform,   // in [low, high)
  off_zero,  // magnitude in [low, high), random sign: keeps away from relu's kink
  distinct,  // evenly spaced from low to high in random order: no two elements tie for a maximum
};

struct CaseInput {
  std::string name;
  Shape shape;
  Role role = Role::activation;
  Fill fill = Fill::uniform;
  float low = -1, high = 1;
  std::vector<float> numbers = {};  // these instead of drawn ones, where each has a meaning
};

struct OpCase {
  std::string op;     // "conv2d"
  std::string label;  // "[2,3,9,7] 3x3/2 -> 6"
  std::vector<CaseInput> in;
  std::function<Var(Tape&, std::span<const Var>)> record;  // returns the output that is differentiated
  bool has_backward = true;
};

// Small shapes with odd sizes and vector-width tails: every op, the compositions that fuse, whole nets.
std::vector<OpCase> small_cases();
// Those, and larger ones that rows cut into several blocks and chunks (too many outputs for a finite difference).
std::vector<OpCase> parity_cases();

// Nets of which Winograd's convolutions take several blocks that all threads share, as most layers of a large batch do.
// Minutes for the reference.
std::vector<OpCase> large_cases();

std::vector<Layout> layouts_of(const OpCase& c);  // both, or one where no input has a layout

// A case in memory: its inputs, filled, and the direction in which its output is differentiated. Two runs of one case
// hold the same logical numbers in every layout and type.
class CaseRun {
 public:
  // In half precision parameters of one dimension and state stay f32. On CUDA weights of 4 dimensions follow the
  // layout.
  CaseRun(const OpCase& c, DType dtype, Layout layout, Device device = Device::cpu);
  void upload();             // from now on inputs are read on the CUDA device
  void forward(Tape& tape);  // sets in and out
  void record(Tape& tape);   // forward, and backward where the case has one

  std::vector<Var> outputs(const Tape& tape) const;  // after record(): out, the gradients, the state
  bool wants_gradient(size_t i) const;

  const OpCase& op_case;
  std::vector<Tensor> values;  // by input
  Tensor direction;            // d objective / d out
  std::vector<Var> in;
  Var out;

 private:
  View where(const Tensor& value, size_t i) const;
  DType dtype_;
  std::vector<Storage> device_;  // of values, then of direction; empty on the CPU
};

}  // namespace rt
