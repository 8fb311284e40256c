#include "kernels/via_cpu.hpp"

#include <cstring>

#include "core/op.hpp"

namespace rt {

void run_on_host(void (*reference)(const Args&), size_t (*workspace)(const Problem&), const Args& host) {
  std::vector<Tensor> wide;  // of the values in half precision; must not move while views point into it
  wide.reserve(host.in.size() + host.out.size());
  auto widen = [&](const View& v) {
    if (v.spec.dtype != DType::f16 && v.spec.dtype != DType::bf16) return v;
    wide.emplace_back(Spec{v.spec.shape, DType::f32, v.spec.layout});
    copy_convert(v, wide.back().view());
    return wide.back().view();
  };
  std::vector<View> in, out;
  std::vector<Spec> in_specs, out_specs;
  for (const View& v : host.in) in.push_back(widen(v)), in_specs.push_back(in.back().spec);
  for (const View& v : host.out) out.push_back(widen(v)), out_specs.push_back(out.back().spec);
  const Storage scratch(workspace ? workspace({host.op, in_specs, out_specs}) : 0);
  reference({host.op, in, out, scratch.data(), nullptr});
  for (size_t i = 0; i < out.size(); ++i)
    if (out[i].data != host.out[i].data) copy_convert(out[i], host.out[i]);
}

void cuda::through_the_host(void (*reference)(const Args&), size_t (*workspace)(const Problem&), const Args& a) {
  std::vector<Tensor> in, out;
  std::vector<View> in_views, out_views;
  for (const View& v : a.in) in.push_back(read_back(v, Device::cuda)), in_views.push_back(in.back().view());
  for (const View& v : a.out) {  // what a step updates stands on both sides, as one memory
    const View* same = nullptr;
    for (size_t i = 0; i < a.in.size(); ++i)
      if (a.in[i].data == v.data && a.in[i].spec == v.spec) same = &in_views[i];
    if (!same) out.push_back(read_back(v, Device::cuda));
    out_views.push_back(same ? *same : out.back().view());
  }
  run_on_host(reference, workspace, {a.op, in_views, out_views, nullptr, nullptr});
  for (size_t i = 0; i < out_views.size(); ++i) write_to(a.out[i], Device::cuda, out_views[i].data);
}

}  // namespace rt
