// Ops that work element by element, on values of equal spec in any layout.
//   relu.forward: x -> y          relu.backward: dy y -> dx       (mask y > 0; a NaN stays a NaN)
//   add.forward: a b -> y         backward passes dy on, no step
//   accumulate: a b -> y          y = a + b; how the tape sums gradients, y may be a
//   layout.convert: x -> y        same values, other memory order
#pragma once
#include "core/tape.hpp"

namespace rt {

Var relu(Tape& tape, Var x);
Var add(Tape& tape, Var a, Var b);
Var to_layout(Tape& tape, Var x, Layout layout);  // x itself where it already has that layout

namespace cpu::reference {
void relu_forward(const Args& a);
void relu_backward(const Args& a);
void add(const Args& a);
void layout_convert(const Args& a);
}  // namespace cpu::reference

}  // namespace rt
