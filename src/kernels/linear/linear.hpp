// The classifier: y[n,k] = sum over c of x[n,c] * w[k,c], plus bias[k].   x [N,C], w [K,C], bias [K], y [N,K].
// x, w and y of one type; the bias and its gradient stay f32 in half precision.
#pragma once
#include "core/tape.hpp"

namespace rt {

namespace kinds {
inline constexpr Kind linear_forward{"linear.forward: x w bias -> y"};
inline constexpr Kind linear_dx{"linear.dx: dy w -> dx"};
inline constexpr Kind linear_dw{"linear.dw: dy x -> dw"};
inline constexpr Kind linear_dbias{"linear.dbias: dy -> dbias"};
}  // namespace kinds

Var linear(Tape& tape, Var x, Var w, Var bias);

class Rows;
namespace cpu {
void add_linear_rows(Rows& rows);  // by the matrix products of convolutions, f32 and bf16
}

namespace cpu::reference {
void linear_forward(const Args& a);
void linear_dx(const Args& a);
void linear_dw(const Args& a);
void linear_dbias(const Args& a);
}  // namespace cpu::reference

namespace cuda {  // products by cuBLAS, f32, f16, bf16
void linear_forward(const Args& a);
void linear_dx(const Args& a);
void linear_dw(const Args& a);
void linear_dbias(const Args& a);
size_t linear_forward_workspace(const Problem& p);
}  // namespace cuda

}  // namespace rt
