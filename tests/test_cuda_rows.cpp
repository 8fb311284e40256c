// Every CUDA row of the table against the CPU's reference, in f32, f16 and bf16 and both layouts, on every case of
// kernels/cases. On a machine without a GPU the rows run on the emulated device: each kernel source, thread by thread,
// in random order.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>

#include "core/cuda.hpp"
#include "core/plan.hpp"
#include "kernels/cases/cases.hpp"
#include "kernels/cuda/via_cpu.hpp"
#include "kernels/fusion.hpp"
#include "kernels/row_check.hpp"
#include "kernels/table.hpp"
#include "train/config/device_choice.hpp"

using namespace rt;

namespace {

// A value's copy on the device, with a guard behind it that must stay as it was.
class DeviceCopy {
 public:
  explicit DeviceCopy(size_t bytes) : bytes_(bytes), memory_(bytes + guard, Device::cuda) {
    const std::vector<unsigned char> marks(bytes + guard, 0xff);
    write_to({{{static_cast<int64_t>(bytes + guard)}, DType::u8}, memory_.data()}, Device::cuda, marks.data());
  }
  void* data() const { return memory_.data(); }
  bool intact() const {
    const Tensor end =
        read_back({{{guard}, DType::u8}, static_cast<unsigned char*>(memory_.data()) + bytes_}, Device::cuda);
    return std::all_of(end.as<uint8_t>(), end.as<uint8_t>() + guard, [](uint8_t c) { return c == 0xff; });
  }

 private:
  static constexpr size_t guard = 64;
  size_t bytes_;
  Storage memory_;
};

class CudaParity {
 public:
  std::set<const Row*> ran;
  std::vector<std::string> failures;

  void run(const OpCase& c, DType dtype, Layout layout, bool fuse) {
    CaseRun run(c, dtype, layout, Device::cuda);
    Tape trace(Tape::Mode::trace, kernel_table(), cuda_target());
    where_ = rt::format("{} {} {} {}{}", c.op, c.label, name_of(dtype), name_of(layout), fuse ? " fused" : "");
    run.record(trace);
    std::unique_ptr<Plan> plan;
    try {
      const std::vector<Var> keep = run.outputs(trace);
      plan = std::make_unique<Plan>(std::move(trace), std::make_shared<Arena>(Device::cuda),
                                    PlanOptions{fuse ? fusion_rules() : std::span<const Rewrite>{}, false, keep});
    } catch (const Error& e) {
      failures.push_back(where_ + ": " + e.what());
      return;
    }
    std::map<int, Tensor> host;  // what each value is, by the reference
    auto view_of = [&](Var v) -> View {
      const Value& value = plan->value(v);
      if (value.external) return {value.spec, value.data};
      auto it = host.find(v.id);
      if (it == host.end()) it = host.emplace(v.id, Tensor(value.spec)).first;
      return it->second.view();
    };
    for (const Step& step : plan->steps()) {
      StepViews s(step, view_of);
      std::vector<Tensor> in_before;
      for (const View& v : s.in) in_before.push_back(read_back(v, Device::cpu));
      const Row& reference = reference_row(kernel_table(), step.kind);
      run_on_host(reference.run, reference.workspace, {.kind = reference.kind, .ops = s.ops, .in = s.in, .out = s.out});
      for (const Row& row : kernel_table()) {
        if (row.kind != step.kind || row.device != Device::cuda || row.min_capability > cuda_target().capability)
          continue;
        if (!refusal_of(row, s.problem()).empty()) continue;
        compare(row, step, s, in_before, false);
        if (!row.overwrites.empty()) compare(row, step, s, in_before, true);
        ran.insert(&row);
      }
    }
  }

 private:
  void compare(const Row& row, const Step& step, const StepViews& s, const std::vector<Tensor>& in_before,
               bool aliased) {
    std::vector<std::unique_ptr<DeviceCopy>> memory;
    std::vector<View> in = s.in, out = s.out;
    for (size_t i = 0; i < in.size(); ++i) {
      memory.push_back(std::make_unique<DeviceCopy>(in[i].spec.bytes()));
      in[i].data = memory.back()->data();
      write_to(in[i], Device::cuda, in_before[i].view().data);
    }
    for (size_t i = 0; i < out.size(); ++i) {
      const auto same = std::find(step.in.begin(), step.in.end(), step.out[i]);
      if (same != step.in.end()) {  // state: one memory on both sides
        out[i].data = in[static_cast<size_t>(same - step.in.begin())].data;
        continue;
      }
      if (aliased && i == 0) {
        out[0].data = in[static_cast<size_t>(row.kind.input(row.overwrites))].data;
        continue;
      }
      memory.push_back(std::make_unique<DeviceCopy>(out[i].spec.bytes()));  // NaNs: what stays unwritten shows
      out[i].data = memory.back()->data();
    }
    memory.push_back(std::make_unique<DeviceCopy>(workspace_bytes(row, s.problem())));
    const std::string name =
        rt::format("{} {}{}, in {}", row.kind.name(), row.name, aliased ? " in place" : "", where_);
    try {
      run_row(
          row,
          {.ops = s.ops, .in = in, .out = out, .workspace = memory.back()->data(), .stream = cuda::compute_stream()});
      for (size_t i = 0; i < out.size(); ++i) {
        const Tensor got = read_back(out[i], Device::cuda);
        const std::string wrong = mismatch(got.view(), s.out[i], row_tolerance(row.kind, in[0].spec.dtype, out, i));
        if (!wrong.empty()) failures.push_back(rt::format("{}: output {}: {}", name, i, wrong));
      }
      for (const auto& block : memory)
        if (!block->intact()) failures.push_back(name + ": writes beyond the end of a value or its workspace");
    } catch (const Error& e) {
      failures.push_back(name + ": " + e.what());
    }
  }

  std::string where_;
};

}  // namespace

TEST_CASE("cuda_rows: every row matches the reference in every type and layout") {
  if (!cuda::support().problem.empty()) {
    MESSAGE("skipped: " << cuda::support().problem);
    return;
  }
  cuda::use(0);
  CudaParity parity;
  const char* only = std::getenv("RT_TEST_OP");  // for whoever works on one op
  for (const OpCase& c : parity_cases()) {
    if (only && !c.op.starts_with(only)) continue;
    for (DType dtype : {DType::f32, DType::f16, DType::bf16}) {
      if (!precision_problem(cuda_target(), dtype).empty()) continue;
      for (Layout layout : layouts_of(c))
        for (bool fuse : {false, true})
          if (!fuse || c.op == "bn_relu" || c.op == "bn_add_relu" || c.op == "cross_entropy" || c.op == "sgd" ||
              c.op == "layout" || c.op == "net")
            parity.run(c, dtype, layout, fuse);
    }
  }
  for (const std::string& f : parity.failures) MESSAGE(f);
  CHECK(parity.failures.empty());
  if (only) return;
  for (const Row& row : kernel_table())
    if (row.device == Device::cuda && row.min_capability <= cuda_target().capability && !parity.ran.contains(&row)) {
      CAPTURE(std::string(row.kind.name()));
      CAPTURE(std::string(row.name));
      CHECK_MESSAGE(false, "no case reaches this row");
    }
  const auto ours = std::count_if(parity.ran.begin(), parity.ran.end(), [](const Row* r) { return !r->last_resort; });
  MESSAGE(ours << " CUDA rows ran, and " << parity.ran.size() - static_cast<size_t>(ours)
               << " that go through the CPU");
}
