#include "kernels/linear/linear.hpp"
#include "kernels/rows.hpp"

namespace rt {

void add_linear_rows(Rows& rows) {
  namespace ref = cpu::reference;
  using namespace kinds;
  cpu::add_linear_rows(rows);
  auto by_cublas = [&](const Kind& kind, RunFunction run, WorkspaceFunction workspace) {
    rows.cuda({.kind = kind, .name = "cuda.cublas", .run = run, .workspace = workspace});
  };

  rows.reference(linear_forward, ref::linear_forward);
  by_cublas(linear_forward, in_cuda<cuda::linear_forward>(), in_cuda<cuda::linear_forward_workspace>());
  rows.via_cpu<ref::linear_forward>(linear_forward);

  rows.reference(linear_dx, ref::linear_dx);
  by_cublas(linear_dx, in_cuda<cuda::linear_dx>(), nullptr);
  rows.via_cpu<ref::linear_dx>(linear_dx);

  rows.reference(linear_dw, ref::linear_dw);
  by_cublas(linear_dw, in_cuda<cuda::linear_dw>(), nullptr);
  rows.via_cpu<ref::linear_dw>(linear_dw);

  rows.reference(linear_dbias, ref::linear_dbias);
  rows.cuda({.kind = linear_dbias, .run = in_cuda<cuda::linear_dbias>()});
  rows.via_cpu<ref::linear_dbias>(linear_dbias);
}

}  // namespace rt
