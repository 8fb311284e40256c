#include "bench/ops.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <set>

#include "core/cuda.hpp"
#include "core/log.hpp"
#include "core/plan.hpp"
#include "kernels/cudnn_choices.hpp"
#include "kernels/table.hpp"
#include "tests/op_cases.hpp"
#include "train/config.hpp"

namespace rt {
namespace {

double now_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Plan plan_of(CaseRun& run, const OpBenchOptions& options) {
  Target target = options.device == Device::cuda ? cuda_target() : cpu_target();
  target.reference_only = !options.select;
  Tape tape(Tape::Mode::trace, kernel_table(), target);
  run.record(tape);
  const std::vector<Var> keep = run.outputs(tape);
  return Plan(std::move(tape), std::make_shared<Arena>(options.device),
              {options.fuse ? fusion_rules() : std::span<const Rewrite>{}, false, keep});
}

bool has(std::string_view text, const std::string& part) { return text.find(part) != std::string_view::npos; }

// Multiplications and additions of the steps that are products; 0 for those that only stream memory. In all three
// directions each of the outputs' (for dX: dY's) elements meets each element of one filter.
double flops_of(std::string_view kind, const StepViews& s) {
  const bool forward = kind.ends_with(".forward"), dw = kind.ends_with(".dw"), dx = kind.ends_with(".dx");
  if (!(kind.starts_with("conv2d.") || kind.starts_with("linear.")) || !(forward || dw || dx)) return 0;
  const Shape& y = forward ? s.out_specs[0].shape : s.in_specs[0].shape;
  const Shape& w = dw ? s.out_specs[0].shape : s.in_specs[1].shape;
  return 2.0 * static_cast<double>(y.numel()) * static_cast<double>(w.numel() / w[0]);
}
double bytes_of(const StepViews& s) {
  double bytes = 0;
  for (const Spec& spec : s.in_specs) bytes += static_cast<double>(spec.bytes());
  for (const Spec& spec : s.out_specs) bytes += static_cast<double>(spec.bytes());
  return bytes;
}

std::vector<double> time_ms(const Row& row, const StepViews& s, double box_ms) {
  const bool on_cuda = row.device == Device::cuda;
  const Storage workspace(row.workspace ? row.workspace(s.problem()) : 0, row.device);
  const Args args{s.op, s.in, s.out, workspace.data(), on_cuda ? cuda::compute_stream() : nullptr};
  const int runs = on_cuda ? 20 : 1;  // one wait for as many launches
  auto run = [&] {
    for (int i = 0; i < runs; ++i) row.run(args);
    if (on_cuda) cuda::synchronize(args.stream);
  };
  run();
  std::vector<double> times;
  for (const double start = now_ms(); times.size() < 1000;) {
    const double before = now_ms();
    run();
    const double after = now_ms();
    times.push_back((after - before) / runs);
    if (after - start > (times.size() < 3 ? 10 * box_ms : box_ms)) break;
  }
  std::sort(times.begin(), times.end());
  return times;
}

void no_match(const std::string& filter, const std::vector<OpCase>& cases) {
  std::set<std::string> ops;
  for (const OpCase& c : cases) ops.insert(c.op);
  fail(ExitCode::usage, "bench: '{}' is part of no op's and no step's name; the ops are {}", filter,
       fmt::join(ops, ", "));
}

}  // namespace

std::vector<OpTiming> bench_ops(const std::string& filter, const Peak& peak, const OpBenchOptions& options) {
  if (options.batch < 1) fail(ExitCode::usage, "bench: batch {} must be at least 1", options.batch);
  // Which cases have a matching step is asked of a tiny batch first, before memory is filled for the real one.
  const std::vector<OpCase> cases = resnet18_cases(options.stem, options.batch), tiny = resnet18_cases(options.stem, 1);
  std::vector<OpTiming> timings;
  std::set<std::string> timed;  // bn_relu and bn_add_relu share steps
  for (size_t i = 0; i < cases.size(); ++i) {
    const OpCase& c = cases[i];
    auto wanted = [&](const Step& step) { return has(c.op, filter) || has(step.kind, filter); };
    if (!has(c.op, filter)) {
      CaseRun probe(tiny[i], options.precision, options.layout, options.device);
      const Plan plan = plan_of(probe, options);
      if (std::none_of(plan.steps().begin(), plan.steps().end(), wanted)) continue;
    }
    CaseRun run(c, options.precision, options.layout, options.device);
    if (options.device == Device::cuda) run.upload();
    Plan plan = plan_of(run, options);
    plan.replay();  // so that every step works on the numbers it would meet
    for (const Step& step : plan.steps()) {
      if (!wanted(step)) continue;
      const StepViews views(step, [&](Var v) { return plan.view(v); });
      std::string problem(step.kind);
      for (const std::vector<Spec>* specs : {&views.in_specs, &views.out_specs})
        for (const Spec& spec : *specs) problem += spec.str();
      if (!timed.insert(problem).second) continue;
      const std::vector<double> ms = time_ms(*step.row, views, 1000 * options.step_seconds);
      const double median = ms[ms.size() / 2], flops = flops_of(step.kind, views);
      OpTiming t{c.op,
                 c.label,
                 std::string(step.kind),
                 std::string(step.row->name),
                 median,
                 ms.front(),
                 ms.back(),
                 static_cast<int>(ms.size()),
                 flops / median * 1e-6,
                 flops > 0 ? 0 : bytes_of(views) / median * 1e-6,
                 0};
      t.percent_of_peak = 100 * (flops > 0 ? t.gflops / peak.gflops : t.gbps / peak.gbps);
      timings.push_back(std::move(t));
    }
  }
  if (timings.empty()) no_match(filter, cases);
  return timings;
}

int run_op_bench(const std::string& filter, bool json, OpBenchOptions options, const std::string& device,
                 const std::string& precision) {
  set_threads(static_cast<int>(machine().threads.value));
  const DeviceChoice choice = choose_device(device, "--device");
  const ComputeDefaults defaults = compute_defaults(choice.target);
  options.device = choice.device, options.layout = defaults.layout;
  options.precision = dtype_named(precision, defaults.precision);
  if (const std::string problem = precision_problem(choice.target, options.precision); !problem.empty())
    fail(ExitCode::usage, "--precision {}: {}", name_of(options.precision), problem);
  const bool on_cuda = options.device == Device::cuda;
  if (on_cuda) cudnn::configure({true, cudnn::default_cache_file(), ""});
  const Peak peak = on_cuda ? measure_cuda_peak(options.precision) : measure_peak();
  if (on_cuda)
    log_info("{}: {:.0f} GFLOP/s in a large product in {}, {:.0f} GB/s in a large copy", choice.reason, peak.gflops,
             name_of(options.precision), peak.gbps);
  else
    log_info("{}, {} threads, {}: peak {:.0f} GFLOP/s in registers, {:.1f} GB/s from memory", machine().cpu_model,
             threads_in_use(), name_of(machine().isa), peak.gflops, peak.gbps);
  const std::vector<OpTiming> timings = bench_ops(filter, peak, options);
  if (json) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const OpTiming& t : timings)
      list.push_back({{"op", t.op},
                      {"shape", t.shape},
                      {"kind", t.kind},
                      {"row", t.row},
                      {"ms", t.ms},
                      {"ms_min", t.ms_min},
                      {"ms_max", t.ms_max},
                      {"repeats", t.repeats},
                      {"gflops", t.gflops},
                      {"gbps", t.gbps},
                      {"percent_of_peak", t.percent_of_peak}});
    fmt::print("{}\n", list.dump(2));
    return 0;
  }
  fmt::print("{:<26} {:<16} {:<34} {:>9}  {:>19}  {:>14} {:>7}\n", "step", "row", "shape", "ms", "min .. max", "rate",
             "% peak");
  for (const OpTiming& t : timings)
    fmt::print("{:<26} {:<16} {:<34} {:>9.3f}  {:>8.3f} .. {:>7.3f}  {:>6.1f} {:<7} {:>7.1f}\n", t.kind, t.row, t.shape,
               t.ms, t.ms_min, t.ms_max, t.gflops > 0 ? t.gflops : t.gbps, t.gflops > 0 ? "GFLOP/s" : "GB/s",
               t.percent_of_peak);
  return 0;
}

}  // namespace rt
