#include "kernels/conv2d/conv2d_fusion.hpp"
#include "kernels/rows.hpp"

namespace rt {

namespace {

constexpr int hopper = 90;  // below, the graph API's engines are no faster

// One pass: by the graph API, by the older one, by the CPU's reference.
template <Conv2dPass pass, RunFunction reference>
void add_pass(Rows& rows, const Kind& kind) {
  using Graph = cuda::CudnnRow<pass, true>;
  using Older = cuda::CudnnRow<pass, false>;
  rows.reference(kind, reference);
  rows.cuda({.kind = kind,
             .name = "cuda.cudnn_graph",
             .min_capability = hopper,
             .refuse = in_cuda<Graph::refuse>(),
             .run = in_cuda<Graph::run>(),
             .workspace = in_cuda<Graph::workspace>()});
  rows.cuda({.kind = kind,
             .name = "cuda.cudnn",
             .refuse = in_cuda<Older::refuse>(),
             .run = in_cuda<Older::run>(),
             .workspace = in_cuda<Older::workspace>()});
  rows.via_cpu<reference>(kind);
}

}  // namespace

void add_conv2d_rows(Rows& rows) {
  namespace ref = cpu::reference;
  cpu::add_conv2d_rows(rows);
  add_pass<Conv2dPass::forward, ref::conv2d_forward>(rows, kinds::conv2d_forward);
  add_pass<Conv2dPass::dx, ref::conv2d_dx>(rows, kinds::conv2d_dx);
  add_pass<Conv2dPass::dw, ref::conv2d_dw>(rows, kinds::conv2d_dw);

  rows.reference_of_fused(kinds::conv2d_forward_stats, ref::conv2d_forward_stats);
  rows.cuda({.kind = kinds::conv2d_forward_stats,
             .name = "cuda.cudnn_graph",
             .min_capability = hopper,
             .refuse = in_cuda<cuda::refuse_conv2d_forward_stats>(),
             .run = in_cuda<cuda::conv2d_forward_stats>(),
             .workspace = in_cuda<cuda::conv2d_forward_stats_workspace>()});
}

}  // namespace rt
