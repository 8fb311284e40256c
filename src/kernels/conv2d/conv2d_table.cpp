#include "kernels/conv2d/conv2d_fusion.hpp"
#include "kernels/rows.hpp"

namespace rt {

void add_conv2d_rows(Rows& rows) {
  namespace ref = cpu::reference;
  using namespace kinds;
  cpu::add_conv2d_rows(rows);
  auto by_cudnn = [&](const Kind& kind, const char* name, int capability, RefuseFunction refuse, RunFunction run,
                      WorkspaceFunction workspace) {
    rows.cuda({.kind = kind,
               .name = name,
               .min_capability = capability,
               .refuse = refuse,
               .run = run,
               .workspace = workspace});
  };
  constexpr const char *graph = "cuda.cudnn_graph", *cudnn = "cuda.cudnn";
  constexpr int hopper = 90;  // below, the graph API's engines are no faster

  rows.reference(conv2d_forward, ref::conv2d_forward);
  by_cudnn(conv2d_forward, graph, hopper, in_cuda<cuda::refuse_conv2d_forward<true>>(),
           in_cuda<cuda::conv2d_forward<true>>(), in_cuda<cuda::conv2d_forward_workspace<true>>());
  by_cudnn(conv2d_forward, cudnn, first_cuda, in_cuda<cuda::refuse_conv2d_forward<false>>(),
           in_cuda<cuda::conv2d_forward<false>>(), in_cuda<cuda::conv2d_forward_workspace<false>>());
  rows.via_cpu<ref::conv2d_forward>(conv2d_forward);

  rows.reference(conv2d_dx, ref::conv2d_dx);
  by_cudnn(conv2d_dx, graph, hopper, in_cuda<cuda::refuse_conv2d_dx<true>>(), in_cuda<cuda::conv2d_dx<true>>(),
           in_cuda<cuda::conv2d_dx_workspace<true>>());
  by_cudnn(conv2d_dx, cudnn, first_cuda, in_cuda<cuda::refuse_conv2d_dx<false>>(), in_cuda<cuda::conv2d_dx<false>>(),
           in_cuda<cuda::conv2d_dx_workspace<false>>());
  rows.via_cpu<ref::conv2d_dx>(conv2d_dx);

  rows.reference(conv2d_dw, ref::conv2d_dw);
  by_cudnn(conv2d_dw, graph, hopper, in_cuda<cuda::refuse_conv2d_dw<true>>(), in_cuda<cuda::conv2d_dw<true>>(),
           in_cuda<cuda::conv2d_dw_workspace<true>>());
  by_cudnn(conv2d_dw, cudnn, first_cuda, in_cuda<cuda::refuse_conv2d_dw<false>>(), in_cuda<cuda::conv2d_dw<false>>(),
           in_cuda<cuda::conv2d_dw_workspace<false>>());
  rows.via_cpu<ref::conv2d_dw>(conv2d_dw);

  rows.reference_of_fused(conv2d_forward_stats, ref::conv2d_forward_stats);
  by_cudnn(conv2d_forward_stats, graph, hopper, in_cuda<cuda::refuse_conv2d_forward_stats>(),
           in_cuda<cuda::conv2d_forward_stats>(), in_cuda<cuda::conv2d_forward_stats_workspace>());
}

}  // namespace rt
