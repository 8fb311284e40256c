#include "kernels/cross_entropy/cross_entropy.hpp"
#include "kernels/rows.hpp"

namespace rt {

void add_cross_entropy_rows(Rows& rows) {
  namespace ref = cpu::reference;
  using namespace kinds;

  rows.reference(cross_entropy_forward, ref::cross_entropy_forward);
  rows.cuda({.kind = cross_entropy_forward,
             .run = in_cuda<cuda::cross_entropy_forward>(),
             .workspace = in_cuda<cuda::cross_entropy_workspace>()});
  rows.via_cpu<ref::cross_entropy_forward>(cross_entropy_forward);

  rows.reference(cross_entropy_backward, ref::cross_entropy_backward);
  rows.cuda({.kind = cross_entropy_backward, .run = in_cuda<cuda::cross_entropy_backward>()});
  rows.via_cpu<ref::cross_entropy_backward>(cross_entropy_backward);

  rows.reference(cross_entropy_with_gradient, ref::cross_entropy_with_gradient);
  rows.cuda({.kind = cross_entropy_with_gradient,
             .run = in_cuda<cuda::cross_entropy_with_gradient>(),
             .workspace = in_cuda<cuda::cross_entropy_workspace>()});
  rows.via_cpu<ref::cross_entropy_with_gradient>(cross_entropy_with_gradient);
}

}  // namespace rt
