// Pooling. x [N,C,H,W] in either layout.
#pragma once
#include "core/tape.hpp"

namespace rt {

namespace kinds {
// index [N,C,P,Q] u8: place of the maximum in its window, r*kernel+s. The first maximum in row-major order gets the
// gradient, as in PyTorch.
inline constexpr Kind max_pool_forward{"max_pool.forward: x -> y index"};
inline constexpr Kind max_pool_backward{"max_pool.backward: dy index -> dx"};
// Global: y [N,C] is the mean over H,W.
inline constexpr Kind avg_pool_forward{"avg_pool.forward: x -> y"};
inline constexpr Kind avg_pool_backward{"avg_pool.backward: dy -> dx"};
}  // namespace kinds

struct MaxPoolAttrs {
  int kernel = 3, stride = 2, pad = 1;
};

Var max_pool(Tape& tape, Var x, MaxPoolAttrs attrs);
Var global_avg_pool(Tape& tape, Var x);

const MaxPoolAttrs& max_pool_attrs(Ops ops);

class Rows;
namespace cpu {
void add_pool_rows(Rows& rows);  // of vector kernels, f32 and bf16
}

namespace cpu::reference {
void max_pool_forward(const Args& a);
void max_pool_backward(const Args& a);
void avg_pool_forward(const Args& a);
void avg_pool_backward(const Args& a);
}  // namespace cpu::reference

namespace cuda {                                  // f32, f16, bf16; any layout
std::string refuse_pool(const Problem& problem);  // of any of these: counts in 32 bits
void max_pool_forward(const Args& a);
void max_pool_backward(const Args& a);
void avg_pool_forward(const Args& a);
void avg_pool_backward(const Args& a);
}  // namespace cuda

}  // namespace rt
