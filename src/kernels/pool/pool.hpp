// Pooling. x [N,C,H,W] in either layout.
//   max_pool.forward: x -> y index          index [N,C,P,Q] u8: place of the maximum in its window, r*kernel+s
//   max_pool.backward: dy index -> dx       the first maximum in row-major order gets the gradient, as in PyTorch
//   avg_pool.forward: x -> y                global: y [N,C] = mean over H,W
//   avg_pool.backward: dy -> dx
#pragma once
#include "core/tape.hpp"

namespace rt {

struct MaxPoolAttrs {
  int kernel = 3, stride = 2, pad = 1;
};

Var max_pool(Tape& tape, Var x, MaxPoolAttrs attrs);
Var global_avg_pool(Tape& tape, Var x);

const MaxPoolAttrs& max_pool_attrs(const Op* op);

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
