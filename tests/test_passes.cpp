// Every pass of the plan against itself switched off, on every case of kernels/cases.
#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "core/plan.hpp"
#include "kernels/fusion.hpp"
#include "kernels/table.hpp"
#include "tests/support/compare_views.hpp"
#include "tests/support/threads_guard.hpp"

using namespace rt;
using namespace rt::testing;

namespace {

struct Switches {
  bool plan, fuse, memory, select;
};
// out, gradients and state of a case after one forward and backward.
std::vector<Tensor> results(const OpCase& c, DType dtype, Layout layout, Switches on) {
  CaseRun run(c, dtype, layout);
  const Target target{Device::cpu, machine().isa, !on.select};
  Tape tape(on.plan ? Tape::Mode::trace : Tape::Mode::eager, kernel_table(), target);
  run.record(tape);
  const std::vector<Var> vars = run.outputs(tape);
  std::vector<Tensor> list;
  auto collect = [&](auto& source) {
    for (Var v : vars) {
      list.emplace_back(source.spec(v));
      copy_convert(source.view(v), list.back().view());
    }
  };
  if (!on.plan) {
    collect(tape);
    return list;
  }
  Plan plan(std::move(tape), std::make_shared<Arena>(),
            {on.fuse ? fusion_rules() : std::span<const Rewrite>{}, on.memory, vars});
  plan.replay();
  collect(plan);
  return list;
}
void check_close(const OpCase& c, const std::string& what, const std::vector<Tensor>& a, const std::vector<Tensor>& b,
                 double tolerance) {
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    Tensor same_layout(b[i].spec());
    copy_convert(a[i].view(), same_layout.view());
    const double error = relative_l2(same_layout.view(), b[i].view());
    INFO(c.op, " ", c.label, ", ", what, ": value ", i, " of ", a.size(), " differs by ", error);
    CHECK(error <= tolerance);
  }
}

}  // namespace

TEST_CASE("passes: the plan, shared memory and, on reference rows, fusion leave every bit as it is") {
  const ThreadsGuard guard(1);
  for (const OpCase& c : parity_cases())
    for (DType dtype : {DType::f32, DType::bf16})
      for (Layout layout : layouts_of(c))
        for (bool select : {false, true}) {
          const std::vector<Tensor> plain = results(c, dtype, layout, {true, false, false, select});
          const std::vector<Tensor> fused = results(c, dtype, layout, {true, true, false, select});
          check_close(c, "eager", results(c, dtype, layout, {false, false, false, select}), plain, 0);
          check_close(c, "memory", results(c, dtype, layout, {true, false, true, select}), plain, 0);
          check_close(c, "memory and fuse", results(c, dtype, layout, {true, true, true, select}), fused, 0);
          check_close(c, "fuse", fused, plain, select ? fused_tolerance(c, dtype) : 0);
        }
}

TEST_CASE("passes: selecting rows, and the layout, change results by rounding only") {
  const ThreadsGuard guard(1);
  for (const OpCase& c : parity_cases())
    for (DType dtype : {DType::f32, DType::bf16}) {
      const std::vector<Tensor> reference = results(c, dtype, Layout::nchw, {true, false, true, false});
      for (Layout layout : layouts_of(c))
        for (bool select : {false, true})
          check_close(c,
                      rt::format("{} {} {}", name_of(dtype), name_of(layout), select ? "selected rows" : "reference"),
                      results(c, dtype, layout, {true, true, true, select}), reference, fused_tolerance(c, dtype));
    }
}
