#include "kernels/pool/pool.hpp"
#include "kernels/rows.hpp"

namespace rt {

void add_pool_rows(Rows& rows) {
  namespace ref = cpu::reference;
  using namespace kinds;
  cpu::add_pool_rows(rows);
  auto cuda_row = [&](const Kind& kind, RunFunction run) {
    rows.cuda({.kind = kind, .refuse = in_cuda<cuda::refuse_pool>(), .run = run});
  };

  rows.reference(max_pool_forward, ref::max_pool_forward);
  cuda_row(max_pool_forward, in_cuda<cuda::max_pool_forward>());
  rows.via_cpu<ref::max_pool_forward>(max_pool_forward);

  rows.reference(max_pool_backward, ref::max_pool_backward);
  cuda_row(max_pool_backward, in_cuda<cuda::max_pool_backward>());
  rows.via_cpu<ref::max_pool_backward>(max_pool_backward);

  rows.reference(avg_pool_forward, ref::avg_pool_forward);
  cuda_row(avg_pool_forward, in_cuda<cuda::avg_pool_forward>());
  rows.via_cpu<ref::avg_pool_forward>(avg_pool_forward);

  rows.reference(avg_pool_backward, ref::avg_pool_backward);
  cuda_row(avg_pool_backward, in_cuda<cuda::avg_pool_backward>());
  rows.via_cpu<ref::avg_pool_backward>(avg_pool_backward);
}

}  // namespace rt
