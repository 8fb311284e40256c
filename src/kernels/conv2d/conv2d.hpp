// Two-dimensional cross-correlation without bias:
//   y[n,k,p,q] = sum over c,r,s of x[n, c, p*stride-pad+r, q*stride-pad+s] * w[k,c,r,s]
// x [N,C,H,W] in either layout, y [N,K,P,Q] in x's layout; w [K,C,R,S] in either: the CPU's rows take it in that order,
// as checkpoints hold it, tensor cores with C innermost (nhwc). All three are of one type.
#pragma once
#include <compare>

#include "core/tape.hpp"

namespace rt {

namespace kinds {  // fused ones: conv2d_fusion.hpp
inline constexpr Kind conv2d_forward{"conv2d.forward: x w -> y"};
inline constexpr Kind conv2d_dx{"conv2d.dx: dy w -> dx"};
inline constexpr Kind conv2d_dw{"conv2d.dw: dy x -> dw"};
}  // namespace kinds

struct Conv2dAttrs {
  int stride = 1, pad = 0;
};

Var conv2d(Tape& tape, Var x, Var w, Conv2dAttrs attrs);

struct Conv2dShape {
  int64_t n, c, h, w;  // of x
  int64_t k, r, s;     // output channels; the filter's rows and columns
  int64_t p, q;        // of y
  int stride, pad;
  friend auto operator<=>(const Conv2dShape&, const Conv2dShape&) = default;
};
Conv2dShape conv2d_shape(Ops ops, const Spec& x, const Spec& w);
// Of a step of any kind of convolution: what it calls x and w, or dx and dw, has the sizes of x and w.
Conv2dShape conv2d_shape(const Problem& problem);
Conv2dShape conv2d_shape(const Args& args);
const Spec& conv2d_image(const Problem& problem);   // x, or dx where there is no x
const Spec& conv2d_weight(const Problem& problem);  // w, or dw

class Rows;
namespace cpu {
void add_conv2d_rows(Rows& rows);  // but for the reference
}

namespace cpu::reference {
void conv2d_forward(const Args& a);
void conv2d_dx(const Args& a);
void conv2d_dw(const Args& a);
void conv2d_forward_stats(const Args& a);  // conv2d.forward.stats: one after the other
}  // namespace cpu::reference

enum class Conv2dPass : uint8_t { forward, dx, dw };

namespace cuda {  // by cuDNN (conv2d_cudnn.cpp): f32, f16, bf16; x, w, y in one layout
// The row of conv2d.forward, conv2d.dx or conv2d.dw; with `graph` it may take algorithms of cuDNN's graph API too.
template <Conv2dPass pass, bool graph>
struct CudnnRow {
  static void run(const Args& a);
  static size_t workspace(const Problem& p);
  static std::string refuse(const Problem& p);
};
// conv2d.forward.stats in f16: the faster of one kernel for both and the two steps apart.
void conv2d_forward_stats(const Args& a);
size_t conv2d_forward_stats_workspace(const Problem& p);
std::string refuse_conv2d_forward_stats(const Problem& p);
}  // namespace cuda

}  // namespace rt
