#include "kernels/linear/widened.hpp"

#include "kernels/elementwise/elementwise.hpp"

namespace rt::cpu {
namespace {

// The specs as f32, and the bytes of those that differ, each on a cache line.
struct Wide {
  std::vector<Spec> specs;
  std::vector<size_t> bytes;  // 0 where the value is f32 already
  size_t total = 0;
  void add(Spec spec) {
    const bool narrow = spec.dtype == DType::bf16;
    if (narrow) spec.dtype = DType::f32;
    specs.push_back(spec);
    bytes.push_back(narrow ? (spec.bytes() + 63) / 64 * 64 : 0);
    total += bytes.back();
  }
};

void convert(const View& from, const View& to) {
  reference::convert({.kind = kinds::convert, .in = {&from, 1}, .out = {&to, 1}});
}

}  // namespace

void run_widened(void (*run)(const Args&), const Args& a) {
  Wide wide;
  for (const View& v : a.in) wide.add(v.spec);
  for (const View& v : a.out) wide.add(v.spec);
  if (wide.total == 0) return run(a);
  std::vector<View> views(a.in.begin(), a.in.end());
  views.insert(views.end(), a.out.begin(), a.out.end());
  auto* free = static_cast<std::byte*>(a.workspace);
  for (size_t i = 0; i < views.size(); ++i)
    if (wide.bytes[i] > 0) {
      views[i] = {wide.specs[i], free};
      free += wide.bytes[i];
      if (i < a.in.size()) convert(a.in[i], views[i]);
    }
  const std::span all(views);
  run({.kind = a.kind,
       .ops = a.ops,
       .in = all.first(a.in.size()),
       .out = all.subspan(a.in.size()),
       .workspace = free,
       .stream = a.stream});
  for (size_t i = 0; i < a.out.size(); ++i)
    if (wide.bytes[a.in.size() + i] > 0) convert(views[a.in.size() + i], a.out[i]);
}

size_t widened_bytes(WorkspaceBytes bytes, const Problem& problem) {
  Wide in, out;
  for (const Spec& s : problem.in) in.add(s);
  for (const Spec& s : problem.out) out.add(s);
  return in.total + out.total + bytes({.kind = problem.kind, .ops = problem.ops, .in = in.specs, .out = out.specs});
}

}  // namespace rt::cpu
