// Every row of the table against the reference in f32 and bf16, on every case of kernels/cases. Rows are found in the
// table: a new one is tested without a word here, and one that no case reaches fails.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "core/plan.hpp"
#include "kernels/batch_norm/batch_norm.hpp"
#include "kernels/cases/cases.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "kernels/fusion.hpp"
#include "kernels/table.hpp"
#include "tests/support/compare_views.hpp"
#include "tests/support/threads_guard.hpp"

using namespace rt;
using namespace rt::testing;

namespace {

// Relative L2 in f32. Steps that only move, mask or add numbers have one right answer; sums and products differ by the
// order of their terms, Winograd convolution by its transforms.
double tolerance_of(std::string_view kind) {
  for (std::string_view exact : {"relu.", "add.", "accumulate", "convert", "max_pool.forward"})
    if (kind.starts_with(exact)) return 0;
  return kind.starts_with("conv2d.") ? 1e-5 : 2e-6;
}

// In bf16 both sides round one f32 number that may differ in its last bits: few of the results differ, and those by one
// unit in the last place of bf16; next to zero by no more than the f32 numbers may. "" or what is wrong.
std::string bf16_mismatch(const View& got, const View& want, std::string_view kind) {
  // The sum with the skip connection is of numbers that were rounded before.
  const double tolerance = kind == "bn_add_relu.apply" ? 0x1p-7 : tolerance_of(kind);
  auto order = [](const View& v, int64_t i) {  // neighbours in bf16 are neighbours here
    const int bits = v.as<bf16>()[i].bits;
    return bits & 0x8000 ? -(bits & 0x7fff) : bits;
  };
  const std::vector<double> a = widened(got), b = widened(want);
  double norm = 0;
  for (double x : b) norm += x * x;
  const double rms = std::sqrt(norm / static_cast<double>(std::max<size_t>(b.size(), 1)));
  int64_t differ = 0;
  for (int64_t i = 0; i < want.numel(); ++i) {
    const int apart = std::abs(order(got, i) - order(want, i));
    const auto k = static_cast<size_t>(i);
    differ += apart != 0;
    if (apart != 0 && (tolerance == 0 || (apart > 1 && !(std::abs(a[k] - b[k]) <= tolerance * rms))))
      return rt::format("element {} is {}, the reference has {}", i, a[k], b[k]);
  }
  if (differ > want.numel() / 50 + 2) return rt::format("{} of {} elements differ", differ, want.numel());
  return "";
}
// Memory with a guard behind it. Starts as NaNs, so that what a row leaves unwritten shows.
class Guarded {
 public:
  explicit Guarded(size_t bytes) : bytes_(bytes), storage_(bytes + guard) {
    std::memset(storage_.data(), 0xff, bytes + guard);
  }
  void* data() const { return storage_.data(); }
  bool intact() const {
    const unsigned char* end = static_cast<const unsigned char*>(storage_.data()) + bytes_;
    return std::all_of(end, end + guard, [](unsigned char c) { return c == 0xff; });
  }

 private:
  static constexpr size_t guard = 128;
  size_t bytes_;
  Storage storage_;
};

std::string row_name(const Row& row) { return rt::format("{} {}", row.kind.name(), row.name); }

#ifdef RT_SANITIZED  // finds what reads and writes too far, ten times slower; the other build tells right from wrong
constexpr bool thorough = false;
#else
constexpr bool thorough = true;
#endif

// The reference replays a case; after each of its steps every other row of that kind does the step again.
class Parity {
 public:
  explicit Parity(std::span<const Row> table) : table_(table) {}

  void run(const OpCase& c, DType dtype, Layout layout, bool fuse) {
    where_ = rt::format("{} {} {} {}{}", c.op, c.label, name_of(dtype), name_of(layout), fuse ? " fused" : "");
    CaseRun run(c, dtype, layout);
    Tape trace(Tape::Mode::trace, table_, {Device::cpu, machine().isa, true});
    run.record(trace);
    const std::vector<Var> keep = run.outputs(trace);
    Plan plan(std::move(trace), std::make_shared<Arena>(),
              {fuse ? fusion_rules() : std::span<const Rewrite>{}, false, keep});
    for (const Rewrite& rule : fusion_rules())
      if (plan.rewritten(rule.name) > 0) rules.insert(rule.name);

    auto view_of = [&](Var v) { return plan.view(v); };
    size_t next = 0;
    auto remember_state = [&] {  // of the coming step: what it reads and writes
      before_.clear();
      if (next == plan.steps().size()) return;
      const Step& step = plan.steps()[next];
      for (Var v : step.in)
        if (std::find(step.out.begin(), step.out.end(), v) != step.out.end() && plan.value(v).data) {
          before_.emplace_back(v, Tensor(plan.spec(v)));
          std::memcpy(before_.back().second.view().data, plan.value(v).data, plan.spec(v).bytes());
        }
    };
    remember_state();
    plan.replay([&](const Step& step) {
      rows.emplace(step.row, dtype);
      for (const Row& row : table_)
        if (row.kind == step.kind && &row != step.row && compare(row, step, StepViews(step, view_of)))
          rows.emplace(&row, dtype);
      compare_in_place(*step.row, step, StepViews(step, view_of), {});
      ++next;
      remember_state();
    });
  }

  // The rows that are selected with fusion, for every instruction set in turn, against those of `oracle`, the
  // references, without it: the only test of a fused step whose reference is the sequence it replaces.
  void run_selected(const OpCase& c, DType dtype, Layout layout,
                    const Target& oracle = {Device::cpu, machine().isa, true}, double tolerance = 0) {
    if (tolerance == 0) tolerance = fused_tolerance(c, dtype);
    where_ = rt::format("{} {} {} {} selected", c.op, c.label, name_of(dtype), name_of(layout));
    auto outputs = [&](const Target& target, bool fuse) {
      CaseRun run(c, dtype, layout);  // a new one each time: steps update state
      Tape trace(Tape::Mode::trace, table_, target);
      run.record(trace);
      const std::vector<Var> keep = run.outputs(trace);
      Plan plan(std::move(trace), std::make_shared<Arena>(),
                {fuse ? fusion_rules() : std::span<const Rewrite>{}, true, keep});
      for (const Rewrite& rule : fusion_rules())
        if (plan.rewritten(rule.name) > 0) rules.insert(rule.name);
      plan.replay([&](const Step& step) { rows.insert({step.row, dtype}); });
      std::vector<Tensor> list;
      for (Var v : keep) {
        list.emplace_back(plan.spec(v));
        std::memcpy(list.back().view().data, plan.view(v).data, plan.spec(v).bytes());
      }
      return list;
    };
    const std::vector<Tensor> want = outputs(oracle, false);
    const int threads = threads_in_use(), other = threads + 2;
    for (int isa = thorough ? isa_scalar : machine().isa; isa <= machine().isa; ++isa) {
      const std::vector<Tensor> got = outputs({Device::cpu, isa, false}, true);
      if (!thorough) continue;
      set_threads(other);
      const std::vector<Tensor> again = outputs({Device::cpu, isa, false}, true);
      set_threads(threads);
      for (size_t i = 0; i < want.size(); ++i) {
        const double error = relative_l2(got[i].view(), want[i].view());
        if (!(error <= tolerance)) failures.push_back(rt::format("value {} is off by {:.1e}, in {}", i, error, where_));
        if (!same_bits(got[i].view(), again[i].view()))
          failures.push_back(rt::format("value {} has other bits at {} threads, in {}", i, other, where_));
      }
    }
  }

  std::set<std::pair<const Row*, DType>> rows;  // that ran, and the type of what they worked on
  std::set<std::string_view> rules;
  std::vector<std::string> failures;

 private:
  using Outputs = std::vector<std::unique_ptr<Guarded>>;

  void fail_row(const Row& row, const std::string& what) {
    failures.push_back(rt::format("{}: {}, in {}", row_name(row), what, where_));
  }

  // Runs `row` into memory of its own. aliased: out[0] takes the memory of a copy of in[row.overwrites].
  std::vector<View> execute(const Row& row, const Step& step, const StepViews& s, Outputs& memory, bool aliased) {
    std::vector<View> in = s.in, out = s.out;
    for (size_t i = 0; i < out.size(); ++i) {
      memory.push_back(std::make_unique<Guarded>(out[i].spec.bytes()));
      out[i].data = memory.back()->data();
      for (const auto& [var, value] : before_)
        if (step.out[i] == var) {
          std::memcpy(out[i].data, value.view().data, value.spec().bytes());
          for (size_t k = 0; k < in.size(); ++k)
            if (step.in[k] == var) in[k].data = out[i].data;
        }
    }
    if (aliased) {
      View& overwritten = in[static_cast<size_t>(row.kind.input(row.overwrites))];
      std::memcpy(out[0].data, overwritten.data, overwritten.spec.bytes());
      overwritten.data = out[0].data;
    }
    memory.push_back(std::make_unique<Guarded>(workspace_bytes(row, s.problem())));
    run_row(row, {.ops = s.ops, .in = in, .out = out, .workspace = memory.back()->data()});
    for (const auto& block : memory)
      if (!block->intact()) fail_row(row, "writes beyond the end of its outputs or workspace");
    return out;
  }

  bool compare(const Row& row, const Step& step, const StepViews& s) {  // false where the row does not do the step
    if (row.device != Device::cpu || row.min_capability > machine().isa) return false;
    if (!refusal_of(row, s.problem()).empty()) return false;
    Outputs memory;
    const std::vector<View> out = execute(row, step, s, memory, false);
    for (size_t i = 0; i < out.size(); ++i) {
      if (s.out_specs[i].dtype == DType::bf16) {
        if (const std::string wrong = bf16_mismatch(out[i], s.out[i], row.kind); !wrong.empty())
          fail_row(row, rt::format("output {} is off: {}", i, wrong));
        continue;
      }
      const double error = relative_l2(out[i], s.out[i]);
      if (!(error <= tolerance_of(row.kind)))
        fail_row(row, rt::format("output {} is off by {:.1e} (allowed {:.0e})", i, error, tolerance_of(row.kind)));
    }
    compare_in_place(row, step, s, out);
    const int threads = threads_in_use(), other = threads + 2;
    set_threads(other);
    Outputs again;
    const std::vector<View> repeated = execute(row, step, s, again, false);
    for (size_t i = 0; i < out.size(); ++i)
      if (!same_bits(repeated[i], out[i]))
        fail_row(row, rt::format("output {} has other bits at {} threads than at {}", i, other, threads));
    set_threads(threads);
    return true;
  }

  void compare_in_place(const Row& row, const Step& step, const StepViews& s, std::vector<View> want) {
    if (row.overwrites.empty()) return;
    const auto overwritten = static_cast<size_t>(row.kind.input(row.overwrites));
    if (s.in_specs[overwritten].bytes() != s.out_specs[0].bytes() || step.in[overwritten] == step.out[0]) return;
    if (want.empty()) want = s.out;
    Outputs memory;
    const std::vector<View> out = execute(row, step, s, memory, true);
    for (size_t i = 0; i < out.size(); ++i)
      if (!same_bits(out[i], want[i])) fail_row(row, rt::format("output {} has other bits in place", i));
  }

  std::span<const Row> table_;
  std::string where_;
  std::vector<std::pair<Var, Tensor>> before_;
};

// Whether the last row of this kind is a reference for others. (The gradients' norm and the statistics' commit have one
// row, tested by its results.)
bool has_reference(std::string_view kind) {
  const Row* last = nullptr;
  for (const Row& row : kernel_table())
    if (row.kind == kind && row.device == Device::cpu) last = &row;
  return last && last->algorithm == Algorithm::reference;
}

bool is_fused(std::string_view kind) {
  for (const Rewrite& rule : fusion_rules())
    for (std::string_view step : rule.new_steps())
      if (Kind(step) == kind) return true;
  return false;
}

}  // namespace

TEST_CASE("ops: every row matches the reference on every case, and no row and no fusion rule goes untested") {
  const ThreadsGuard guard(1);  // for small problems; where it matters, Parity tries more
  Parity parity(kernel_table());
  for (const OpCase& c : parity_cases())
    for (Layout layout : layouts_of(c)) {
      for (DType dtype : {DType::f32, DType::bf16}) {
        for (bool fuse : {false, true}) parity.run(c, dtype, layout, fuse);
        parity.run_selected(c, dtype, layout);
      }
    }
  for (const std::string& failure : parity.failures) FAIL_CHECK(failure);
  if (!thorough) return;
  for (const Row& row : kernel_table()) {
    if (row.device != Device::cpu || row.min_capability > machine().isa || row.last_resort ||
        !(has_reference(row.kind) || is_fused(row.kind)))
      continue;
    const std::string name = row_name(row);
    INFO("no case reaches ", name, ": add one to src/kernels/cases");
    const bool half_only = row.min_capability >= isa_avx512_bf16 || row.kind == "weights.round";
    if (!half_only) CHECK(parity.rows.contains({&row, DType::f32}));
    CHECK(parity.rows.contains({&row, DType::bf16}));
  }
  for (const Rewrite& rule : fusion_rules()) {
    if (std::holds_alternative<Collect>(rule.rule)) continue;  // for GPUs alone: test_cuda_rows.cpp asks for their rows
    const std::string name(rule.name);
    INFO("no case is rewritten by ", name, ": add one to src/kernels/cases");
    CHECK(parity.rules.contains(rule.name));
  }
}

TEST_CASE("ops: fused convolutions in several blocks that all threads share match direct ones that are not fused") {
  const ThreadsGuard guard(1);  // for small problems; where it matters, Parity tries more
  Target direct = cpu_target();
  std::vector<RefusedRow> winograd;
  for (const Row& row : kernel_table())
    if (row.algorithm == Algorithm::winograd)
      winograd.push_back({row.kind, row.name, "another oracle is wanted", false});
  direct.refused = std::make_shared<const std::vector<RefusedRow>>(winograd);
  Parity parity(kernel_table());
  // Of 200,000 inputs of a ReLU one or two lie within rounding of zero, and pass their gradient on one side only: some
  // 1e-3 of a tensor, and in bf16 many do. A wrong tile, of 144 or more, would be 8e-2 of it.
  for (const OpCase& c : large_cases())
    for (DType dtype : {DType::f32, DType::bf16})
      parity.run_selected(c, dtype, Layout::nhwc, direct, dtype == DType::f32 ? 1e-2 : 6e-2);
  for (const std::string& failure : parity.failures) FAIL_CHECK(failure);
  if (!thorough) return;
  for (const Rewrite& rule : fusion_rules())
    if (rule.name.starts_with("conv2d.")) {
      INFO("no case is rewritten by ", std::string(rule.name));
      CHECK(parity.rules.contains(rule.name));
    }
}

TEST_CASE("ops: a row that is slightly wrong, writes too much or too little, or depends on the threads is caught") {
  const ThreadsGuard guard(1);  // for small problems; where it matters, Parity tries more
  struct Fault {
    std::string message;
    void (*run)(const Args&);
  };
  const Fault faults[] = {
      {"is off by",
       [](const Args& a) {
         cpu::reference::relu_forward(a);
         a.out[0].as<float>()[3] += 1e-5f;
       }},
      {"is off by",
       [](const Args& a) {
         View in = a.in[0], out = a.out[0];
         in.spec.shape = out.spec.shape = Shape{out.numel() - 1};
         cpu::reference::relu_forward({.kind = a.kind, .ops = a.ops, .in = {&in, 1}, .out = {&out, 1}});
       }},
      {"beyond the end",
       [](const Args& a) {
         cpu::reference::relu_forward(a);
         a.out[0].as<float>()[a.out[0].numel()] = 0;
       }},
      {"other bits at",
       [](const Args& a) {
         cpu::reference::relu_forward(a);
         if (threads_in_use() > 1) a.out[0].as<float>()[0] += 1;
       }},
      {"in place",
       [](const Args& a) {
         cpu::reference::relu_forward(a);
         if (a.in[0].data == a.out[0].data) a.out[0].as<float>()[0] += 1;
       }},
  };
  // The like in bf16: the lowest bit of one element out of place, or all elements rounded down.
  const Fault bf16_faults[] = {{"the reference has",
                                [](const Args& a) {
                                  cpu::reference::relu_forward(a);
                                  a.out[0].as<bf16>()[3].bits ^= 1;
                                }},
                               {"other bits at",
                                [](const Args& a) {
                                  cpu::reference::relu_forward(a);
                                  if (threads_in_use() > 1) a.out[0].as<bf16>()[0].bits ^= 1;
                                }},
                               {"elements differ", [](const Args& a) {
                                  cpu::reference::batch_norm_apply(a);
                                  for (int64_t i = 0; i < a.out[0].numel(); i += 2) a.out[0].as<bf16>()[i].bits ^= 1;
                                }}};
  auto caught = [](const Fault& fault, std::string_view kind, DType dtype) {
    const std::string with_operands = std::string(kind) + ": x -> y";
    std::vector<Row> table{
        {.kind = std::string_view(with_operands), .name = "test.wrong", .run = fault.run, .overwrites = "x"}};
    table.insert(table.end(), kernel_table().begin(), kernel_table().end());
    Parity parity(table);
    for (const OpCase& c : small_cases())
      if (kind.starts_with(c.op + ".")) parity.run(c, dtype, Layout::nhwc, false);
    CAPTURE(fault.message);
    CHECK(parity.rows.contains({&table[0], dtype}));
    CHECK(std::any_of(parity.failures.begin(), parity.failures.end(),
                      [&](const std::string& failure) { return failure.find(fault.message) != std::string::npos; }));
  };
  for (const Fault& fault : faults) caught(fault, "relu.forward", DType::f32);
  for (const Fault& fault : bf16_faults)
    caught(fault, fault.message == "elements differ" ? "batch_norm.apply" : "relu.forward", DType::bf16);
}
