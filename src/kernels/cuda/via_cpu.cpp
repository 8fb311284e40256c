#include "kernels/cuda/via_cpu.hpp"

#include "core/op.hpp"

namespace rt {

void run_on_host(void (*reference)(const Args&), size_t (*workspace)(const Problem&), const Args& host) {
  std::vector<Spec> in, out;
  for (const View& v : host.in) in.push_back(v.spec);
  for (const View& v : host.out) out.push_back(v.spec);
  const Storage scratch(workspace ? workspace({.kind = host.kind, .ops = host.ops, .in = in, .out = out}) : 0);
  Args args = host;
  args.workspace = scratch.data();
  args.stream = nullptr;
  reference(args);
}

void cuda::through_the_host(void (*reference)(const Args&), size_t (*workspace)(const Problem&), const Args& a) {
  std::vector<Tensor> in, out;
  std::vector<View> in_views, out_views;
  for (const View& v : a.in) {
    in.push_back(read_back(v, Device::cuda));
    in_views.push_back(in.back().view());
  }
  for (const View& v : a.out) {  // what a step updates stands on both sides, as one memory
    const View* same = nullptr;
    for (size_t i = 0; i < a.in.size(); ++i)
      if (a.in[i].data == v.data && a.in[i].spec == v.spec) same = &in_views[i];
    if (!same) out.push_back(read_back(v, Device::cuda));
    out_views.push_back(same ? *same : out.back().view());
  }
  run_on_host(reference, workspace, {.kind = a.kind, .ops = a.ops, .in = in_views, .out = out_views});
  for (size_t i = 0; i < out_views.size(); ++i) write_to(a.out[i], Device::cuda, out_views[i].data);
}

}  // namespace rt
