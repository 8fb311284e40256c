// Ops that work element by element, on values of equal spec in any layout.
//   relu.forward: x -> y          relu.backward: dy y -> dx       (mask y > 0; a NaN stays a NaN)
//   add.forward: a b -> y         backward passes dy on, no step
//   accumulate: a b -> y          y = a + b; how the tape sums gradients, y may be a, b may be of another type
//   convert: x -> y               same values in another memory order or type (rounded to nearest even)
//   convert.all: x… -> y…         several of one type, in their memory order
#pragma once
#include "core/tape.hpp"

namespace rt {

Var relu(Tape& tape, Var x);
Var add(Tape& tape, Var a, Var b);
Var convert(Tape& tape, Var x, DType dtype, Layout layout);  // x itself where it has these already

namespace cpu::reference {
void relu_forward(const Args& a);
void relu_backward(const Args& a);
void add(const Args& a);
void convert(const Args& a);
}  // namespace cpu::reference

namespace cuda {  // f32, f16, bf16; any layout
void relu_forward(const Args& a);
void relu_backward(const Args& a);
void add(const Args& a);
void accumulate(const Args& a);
void convert(const Args& a);
}  // namespace cuda

}  // namespace rt
