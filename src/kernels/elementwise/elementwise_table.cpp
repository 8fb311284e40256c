#include "kernels/elementwise/elementwise.hpp"
#include "kernels/rows.hpp"

namespace rt {

void add_elementwise_rows(Rows& rows) {
  namespace ref = cpu::reference;
  cpu::add_elementwise_rows(rows);

  rows.reference(kinds::relu_forward, ref::relu_forward, "x");
  rows.cuda({.kind = kinds::relu_forward, .run = in_cuda<cuda::relu_forward>(), .overwrites = "x"});
  rows.via_cpu<ref::relu_forward>(kinds::relu_forward);

  rows.reference(kinds::relu_backward, ref::relu_backward, "dy");
  rows.cuda({.kind = kinds::relu_backward, .run = in_cuda<cuda::relu_backward>(), .overwrites = "dy"});
  rows.via_cpu<ref::relu_backward>(kinds::relu_backward);

  rows.reference(kinds::add_forward, ref::add, "a");
  rows.cuda({.kind = kinds::add_forward, .run = in_cuda<cuda::add>(), .overwrites = "a"});
  rows.via_cpu<ref::add>(kinds::add_forward);

  rows.reference(kinds::accumulate, ref::add, "a");
  rows.cuda({.kind = kinds::accumulate, .run = in_cuda<cuda::accumulate>(), .overwrites = "a"});
  rows.via_cpu<ref::add>(kinds::accumulate);

  rows.reference(kinds::convert, ref::convert);
  rows.reference_of_fused(kinds::convert_all, ref::convert);
  for (const Kind& kind : {kinds::convert, kinds::convert_all}) {
    rows.cuda({.kind = kind, .run = in_cuda<cuda::convert>()});
    rows.via_cpu<ref::convert>(kind);
  }
}

}  // namespace rt
