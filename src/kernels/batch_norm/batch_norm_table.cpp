#include "kernels/batch_norm/batch_norm.hpp"
#include "kernels/rows.hpp"

namespace rt {

void add_batch_norm_rows(Rows& rows) {
  namespace ref = cpu::reference;
  using namespace kinds;
  cpu::add_batch_norm_rows(rows);

  rows.reference(batch_norm_stats, ref::batch_norm_stats);
  rows.cuda({.kind = batch_norm_stats,
             .run = in_cuda<cuda::batch_norm_stats>(),
             .workspace = in_cuda<cuda::batch_norm_workspace>()});
  rows.via_cpu<ref::batch_norm_stats>(batch_norm_stats);

  rows.reference(batch_norm_apply, ref::batch_norm_apply, "x");
  rows.cuda({.kind = batch_norm_apply, .run = in_cuda<cuda::batch_norm_apply>(), .overwrites = "x"});
  rows.via_cpu<ref::batch_norm_apply>(batch_norm_apply);

  rows.reference(batch_norm_update_running, ref::batch_norm_update_running);
  rows.reference_of_fused(batch_norm_update_running_all, ref::batch_norm_update_running);
  for (const Kind& kind : {batch_norm_update_running, batch_norm_update_running_all}) {
    rows.cuda({.kind = kind, .run = in_cuda<cuda::batch_norm_update_running>()});
    rows.via_cpu<ref::batch_norm_update_running>(kind);
  }

  rows.reference(batch_norm_running, ref::batch_norm_running);
  rows.cuda({.kind = batch_norm_running, .run = in_cuda<cuda::batch_norm_running>()});
  rows.via_cpu<ref::batch_norm_running>(batch_norm_running);

  rows.reference(batch_norm_sums, ref::batch_norm_sums);
  rows.cuda({.kind = batch_norm_sums,
             .run = in_cuda<cuda::batch_norm_sums>(),
             .workspace = in_cuda<cuda::batch_norm_workspace>()});
  rows.via_cpu<ref::batch_norm_sums>(batch_norm_sums);

  rows.reference(batch_norm_dx, ref::batch_norm_dx, "dy");
  rows.cuda({.kind = batch_norm_dx, .run = in_cuda<cuda::batch_norm_dx>(), .overwrites = "dy"});
  rows.via_cpu<ref::batch_norm_dx>(batch_norm_dx);

  rows.reference(bn_relu_apply, ref::bn_relu_apply, "x");
  rows.cuda({.kind = bn_relu_apply, .run = in_cuda<cuda::bn_relu_apply>(), .overwrites = "x"});
  rows.via_cpu<ref::bn_relu_apply>(bn_relu_apply);

  rows.reference(bn_relu_sums, ref::batch_norm_sums);
  rows.cuda(
      {.kind = bn_relu_sums, .run = in_cuda<cuda::bn_relu_sums>(), .workspace = in_cuda<cuda::batch_norm_workspace>()});
  rows.via_cpu<ref::batch_norm_sums>(bn_relu_sums);

  rows.reference(bn_relu_dx, ref::batch_norm_dx, "dy");
  rows.cuda({.kind = bn_relu_dx, .run = in_cuda<cuda::bn_relu_dx>(), .overwrites = "dy"});
  rows.via_cpu<ref::batch_norm_dx>(bn_relu_dx);

  rows.reference(bn_add_relu_apply, ref::bn_relu_apply, "x");
  rows.cuda({.kind = bn_add_relu_apply, .run = in_cuda<cuda::bn_add_relu_apply>(), .overwrites = "x"});
  rows.via_cpu<ref::bn_relu_apply>(bn_add_relu_apply);

  rows.reference(bn_add_relu_dx, ref::batch_norm_dx, "x");
  rows.cuda({.kind = bn_add_relu_dx, .run = in_cuda<cuda::bn_add_relu_dx>(), .overwrites = "x"});
  rows.via_cpu<ref::batch_norm_dx>(bn_add_relu_dx);
}

}  // namespace rt
