// Ops that work element by element, on values of equal spec in any layout.
#pragma once
#include "core/tape.hpp"

namespace rt {

namespace kinds {
inline constexpr Kind relu_forward{"relu.forward: x -> y"};
inline constexpr Kind relu_backward{"relu.backward: dy y -> dx"};  // the mask is y > 0; a NaN stays a NaN
inline constexpr Kind add_forward{"add.forward: a b -> y"};        // backward passes dy on, no step
// How the tape sums gradients: y = a + b. y may be a, and b may be of another type.
inline constexpr Kind accumulate{"accumulate: a b -> y"};
// The same values in another memory order or type, rounded to nearest even.
inline constexpr Kind convert{"convert: x -> y"};
inline constexpr Kind convert_all{"convert.all: x... -> y..."};  // several of one type, in their memory order
}  // namespace kinds

Var relu(Tape& tape, Var x);
Var add(Tape& tape, Var a, Var b);
Var convert(Tape& tape, Var x, DType dtype, Layout layout);  // x itself where it has these already

class Rows;
namespace cpu {
void add_elementwise_rows(Rows& rows);  // of vector kernels, f32 and bf16
}

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
