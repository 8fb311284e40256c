// The table of `rbench ops`: per step both rates beside both ceilings. The nearer ceiling is marked; it is the one that
// a better kernel would meet first, unless it does less arithmetic or moves fewer bytes.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "bench/figures.hpp"
#include "bench/ops.hpp"
#include "core/cuda.hpp"
#include "core/log.hpp"

namespace rt {
namespace {

struct Percent {
  double flops, bytes;
  bool nearer_is_flops() const { return flops >= bytes; }
};
Percent percent_of(const StepTiming& t, const Peak& peak) {
  return {100 * t.gflops_done() / peak.gflops, 100 * t.gbps() / peak.gbps};
}

struct Sums {
  double ms = 0, convolution_ms = 0, flops = 0;
};
Sums sums_of(const std::vector<StepTiming>& timings) {
  Sums s;
  for (const StepTiming& t : timings) {
    const double ms = t.ms * t.count;
    s.ms += ms;
    if (!t.kind.starts_with("conv2d")) continue;
    s.convolution_ms += ms;
    s.flops += t.work.flops_effective * t.count;
  }
  return s;
}

// Leaves the batch out, which every shape shares: "[128,64,32,32] 3x3/1 -> 64" is "64@32x32 3x3/1 -> 64".
std::string short_shape(const std::string& shape) {
  int n = 0, c = 0, h = 0, w = 0, end = 0;
  if (std::sscanf(shape.c_str(), "[%d,%d,%d,%d]%n", &n, &c, &h, &w, &end) != 4) return shape;
  return rt::format("{}@{}x{}{}", c, h, w, shape.substr(static_cast<size_t>(end)));
}

std::string number(double value, int digits) { return value > 0 ? rt::format("{:.{}f}", value, digits) : ""; }

// Where there is a peer, its two columns stand in place of three.
void print_table(const std::vector<StepTiming>& timings, const Peak& peak, const OpBenchOptions& o) {
  rt::print("{}, {} stem, batch {}, {}\n", o.workload.arch, o.workload.stem, o.workload.batch, o.workload.precision);
  rt::print("{:<21} {:>2} {:<25} {:<15} {:<23} {:>8} {:>7} {:>6} {:>5}", "layer", "x", "step", "row", "shape", "ms",
            "GFLOP/s", "done", "%FMA");
  rt::print("{}\n", o.peer ? rt::format(" {:>8} {:>5}", "peer ms", "ratio")
                           : rt::format(" {:>5} {:>5} {:>5}", "GB/s", "%mem", "share"));
  for (const StepTiming& t : timings) {
    const Percent p = percent_of(t, peak);
    const bool flops = p.nearer_is_flops();
    rt::print("{:<21} {:>2} {:<25} {:<15} {:<23} {:>8.3f} {:>7} {:>6} {:>5}", t.layer, t.count, t.kind,
              t.row.starts_with("cpu.") ? t.row.substr(4) : t.row, short_shape(t.shape), t.ms, number(t.gflops(), 0),
              number(t.gflops_done(), 0), number(p.flops, 0) + (flops ? "*" : " "));
    if (o.peer)
      rt::print(" {:>8.3f} {:>5.2f}\n", t.peer_ms, t.peer_ms / t.ms);
    else
      rt::print(" {:>5} {:>5} {:>4.1f}%\n", number(t.gbps(), 1), number(p.bytes, 0) + (flops ? " " : "*"),
                100 * t.share);
  }
  const Sums s = sums_of(timings);
  rt::print("{:.1f} ms in all", s.ms);
  if (s.convolution_ms > 0)
    rt::print(
        "; outside convolutions {:.1f} %; convolutions at {:.0f} GFLOP/s by their definition, {:.0f} % of the FMA peak",
        100 * (1 - s.convolution_ms / s.ms), s.flops / s.convolution_ms * 1e-6,
        100 * s.flops / s.convolution_ms * 1e-6 / peak.gflops);
  rt::print("\n(GFLOP/s by the definition; done: what the row computes; *: the nearer ceiling");
  if (machine().isa >= isa_avx512_bf16 && o.workload.precision == "bf16")
    rt::print("; 100 % is the rate of f32, rows of avx512_bf16 can reach 200 and those of amx 1600");
  if (o.peer) rt::print("; peer: {}, its time over ours", o.peer->name);
  rt::print(")\n");
}

void print_json(const std::vector<StepTiming>& timings, const Peak& peak, const OpBenchOptions& o) {
  const Sums s = sums_of(timings);
  nlohmann::ordered_json j = provenance();
  j.update({{"isa", name_of(machine().isa)},
            {"threads", threads_in_use()},
            {"arch", o.workload.arch},
            {"stem", o.workload.stem},
            {"batch", o.workload.batch},
            {"device", o.workload.device},
            {"precision", o.workload.precision},
            {"peak_gflops", peak.gflops},
            {"peak_gbps", peak.gbps},
            {"total_ms", s.ms},
            {"outside_convolutions", 1 - s.convolution_ms / s.ms},
            {"peer", o.peer ? o.peer->name : ""},
            {"steps", nlohmann::ordered_json::array()}});
  for (const StepTiming& t : timings) {
    const Percent p = percent_of(t, peak);
    nlohmann::ordered_json step = {{"layer", t.layer},
                                   {"count", t.count},
                                   {"kind", t.kind},
                                   {"row", t.row},
                                   {"shape", t.shape},
                                   {"ms", t.ms},
                                   {"ms_min", t.ms_min},
                                   {"ms_max", t.ms_max},
                                   {"repeats", t.repeats},
                                   {"share", t.share},
                                   {"gflops", t.gflops()},
                                   {"gflops_done", t.gflops_done()},
                                   {"gbps", t.gbps()},
                                   {"percent_of_flops_peak", p.flops},
                                   {"percent_of_memory_peak", p.bytes},
                                   {"nearer", p.nearer_is_flops() ? "flops" : "memory"}};
    if (t.peer_ms > 0) step["peer_ms"] = t.peer_ms;
    j["steps"].push_back(std::move(step));
  }
  rt::print("{}\n", j.dump(2));
}

}  // namespace

int run_op_bench(const OpBenchOptions& o, bool json) {
  if (o.peer && !o.peer->problem.empty()) fail(ExitCode::usage, "--peer: {}", o.peer->problem);
  if (o.peer && (o.workload.device != "cpu" || o.workload.precision != "f32"))
    fail(ExitCode::usage, "--peer compares convolutions in f32 on the CPU, not {} on {}", o.workload.precision,
         o.workload.device);
  const std::vector<StepTiming> timings = bench_ops(o);
  const DeviceChoice device = choose_device(o.workload.device, "--device");
  const bool on_cuda = device.device == Device::cuda;
  const DType precision = dtype_named(o.workload.precision, compute_defaults(device.target).precision);
  const Peak peak = on_cuda ? measure_cuda_peak(precision) : measure_peak();
  log_info("{}: {:.0f} GFLOP/s in {}, {:.1f} GB/s {}",
           on_cuda ? device.reason
                   : rt::format("{}, {} threads, {}", machine().cpu_model, threads_in_use(), name_of(machine().isa)),
           peak.gflops, on_cuda ? rt::format("a large product in {}", name_of(precision)) : "registers", peak.gbps,
           on_cuda ? "in a large copy" : "from memory");
  json ? print_json(timings, peak, o) : print_table(timings, peak, o);
  return 0;
}

}  // namespace rt
