#include "bench/step.hpp"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "bench/beside.hpp"
#include "bench/commands.hpp"
#include "bench/figures.hpp"
#include "core/clock.hpp"
#include "core/cuda.hpp"

namespace rt {
namespace {

// How long ago the process was started, by the kernel's account: to 10 ms, as it counts in ticks. 0 where /proc does
// not say.
double process_age_ms() {
  std::ifstream file("/proc/self/stat");
  std::string text{std::istreambuf_iterator<char>(file), {}};
  const size_t name_end = text.rfind(')');  // the name itself may hold spaces and parentheses
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(text.substr(name_end + 1));
  std::string field;
  for (int i = 3; i <= 22; ++i) fields >> field;  // proc(5): 22 is starttime
  timespec now{};
  if (!fields || clock_gettime(CLOCK_BOOTTIME, &now) != 0) return 0;
  const double since_boot_ms = 1e3 * static_cast<double>(now.tv_sec) + 1e-6 * static_cast<double>(now.tv_nsec);
  return since_boot_ms - 1e3 * std::stod(field) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

struct Start {            // of this process, in ms
  double startup = 0;     // until this benchmark was called: loading the program, probing the machine
  double setup = 0;       // network, weights, images
  double autotune = 0;    // timing variants that the user's cache does not know yet
  double plan = 0;        // tracing and planning
  double first_step = 0;  // memory is touched for the first time, threads start
  double total = 0;       // from the start of the process to the end of the first step
};

struct Shares {                      // of one step's time
  std::map<std::string, double> ms;  // by kind
  double total_ms = 0;
};

struct Results {
  Start start;
  MemoryFigures memory;
  Spread step_ms;
  std::optional<BesideFigures> beside;
  Shares shares;  // empty where nothing is planned
  double peak_mib = 0;
};

double mib(int64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

nlohmann::json json_of(const BesideFigures& f) {
  return {{"processes", f.processes},
          {"cpus", f.cpus},
          {"images_per_s_alone", f.alone.median},
          {"images_per_s", f.beside.median},
          {"images_per_s_min", f.beside.least},
          {"images_per_s_max", f.beside.most},
          {"share", f.share.median},
          {"share_min", f.share.least},
          {"share_max", f.share.most},
          {"fair_share", f.fair_share},
          {"share_of_fair", f.share.median / f.fair_share}};
}

void print(const BesideFigures& f) {
  rt::print(
      "beside {} busy process{} on {} CPU{}: {:.1f} images/s ({:.1f} to {:.1f}), alone {:.1f} ({:.1f} to {:.1f})\n",
      f.processes, f.processes == 1 ? "" : "es", f.cpus, f.cpus == 1 ? "" : "s", f.beside.median, f.beside.least,
      f.beside.most, f.alone.median, f.alone.least, f.alone.most);
  rt::print("share {:.2f} ({:.2f} to {:.2f}); {:.2f} is fair, of which it reached {:.2f}\n", f.share.median,
            f.share.least, f.share.most, f.fair_share, f.share.median / f.fair_share);
}

void one_step(Workload& w) {
  w.step();
  w.finish();
}

// Goes on from `start`, which says how long it took to get here.
Start measure_start(Workload& w, Start start) {
  const ExecutorOptions& options = w.options();
  double began = now_ms();
  if (options.optimize.plan) w.plan();
  if (options.tuner) start.autotune = options.tuner->timing_ms();
  start.plan = now_ms() - began - start.autotune;
  began = now_ms();
  one_step(w);
  start.first_step = now_ms() - began;
  start.total = process_age_ms();
  return start;
}

Spread measure_steps(Workload& w, int repeat, int steps) {
  for (int warm_up = 0; warm_up < 2; ++warm_up) one_step(w);
  std::vector<double> times;
  for (int r = 0; r < repeat; ++r) {
    const double began = now_ms();
    for (int i = 0; i < steps; ++i) w.step();
    w.finish();
    times.push_back((now_ms() - began) / steps);
  }
  return spread_of(times);
}

Shares measure_shares(Workload& w) {
  Shares shares;
  double last = 0;
  w.executor().set_observer([&](const Step& s) {
    if (w.on_cuda()) cuda::synchronize(cuda::compute_stream());
    const double ms = now_ms() - last;
    shares.ms[std::string(s.kind)] += ms;
    shares.total_ms += ms;
    last = now_ms();
  });
  const Batch& next = w.next();
  last = now_ms();
  w.enqueue(next);
  w.finish();
  w.executor().set_observer({});
  return shares;
}

void print_json(const StepBenchOptions& o, const Workload& w, const Results& r) {
  const ExecutorOptions& options = w.options();
  nlohmann::json j = provenance();
  j.update({{"isa", name_of(machine().isa)},
            {"threads", threads_in_use()},
            {"workers", w.workers()},
            {"arch", o.workload.arch},
            {"stem", o.workload.stem},
            {"side", options.height},
            {"batch", o.workload.batch},
            {"device", w.device_name()},
            {"device_name", w.where()},
            {"precision", name_of(options.precision)},
            {"graph", options.optimize.graph},
            {"resident", w.resident()},
            {"startup_ms", r.start.startup},
            {"setup_ms", r.start.setup},
            {"weights_ms", w.weights_ms()},
            {"plan_ms", r.start.plan},
            {"autotune_ms", r.start.autotune},
            {"first_step_ms", r.start.first_step},
            {"first_step_after_ms", r.start.total},
            {"planned_mib", mib(r.memory.peak_bytes)},
            {"step_ms", r.step_ms.median},
            {"step_ms_min", r.step_ms.least},
            {"step_ms_max", r.step_ms.most},
            {"images_per_s", 1e3 * o.workload.batch / r.step_ms.median},
            {"peak_mib", r.peak_mib},
            {"loss", w.loss()},
            {"arena_mib", mib(r.memory.arena_bytes)},
            {"unshared_mib", mib(r.memory.unshared_bytes)}});
  for (const auto& [kind, ms] : r.shares.ms) j["share"][kind] = ms / r.shares.total_ms;
  if (r.beside) j["beside"] = json_of(*r.beside);
  rt::print("{}\n", j.dump());
}

void print(const Shares& shares) {
  std::vector<std::pair<double, std::string>> rows;
  for (const auto& [kind, ms] : shares.ms) rows.push_back({ms, kind});
  std::sort(rows.rbegin(), rows.rend());
  for (const auto& [ms, kind] : rows) rt::print("  {:5.1f} %  {:8.2f} ms  {}\n", 100 * ms / shares.total_ms, ms, kind);
}

void print_text(const StepBenchOptions& o, const Workload& w, const Results& r) {
  const ExecutorOptions& options = w.options();
  const int batch = o.workload.batch;
  rt::print("{} with the {} stem, batch {}, {}x{}, {}, {}\n", o.workload.arch, o.workload.stem, batch, options.height,
            options.width, name_of(options.precision), w.where());
  rt::print("step {:.1f} ms (median of {}; {:.1f} to {:.1f}), {:.1f} images/s, peak memory {:.0f} MiB\n",
            r.step_ms.median, o.repeat, r.step_ms.least, r.step_ms.most, 1e3 * batch / r.step_ms.median, r.peak_mib);
  if (r.beside) print(*r.beside);
  rt::print("planned {:.0f} MiB; arena {:.0f} MiB, {:.0f} MiB without sharing\n", mib(r.memory.peak_bytes),
            mib(r.memory.arena_bytes), mib(r.memory.unshared_bytes));
  rt::print("first step after {:.0f} ms: start-up {:.0f}, ", r.start.total, r.start.startup);
  rt::print("network and images {:.0f} (its weights {:.0f}), ", r.start.setup, w.weights_ms());
  rt::print("plan {:.0f}, step {:.0f}{}\n", r.start.plan, r.start.first_step,
            r.start.autotune > 0 ? rt::format(", autotune {:.0f} (once)", r.start.autotune) : "");
  print(r.shares);
}

}  // namespace

int run_step_bench(const StepBenchOptions& o) {
  Results r;
  r.start.startup = process_age_ms();
  std::optional<BusyProcesses> busy;
  if (o.beside >= 0) busy.emplace(o.beside);
  const double began = now_ms();
  Workload w(o.workload);
  r.start.setup = now_ms() - began;
  r.memory = w.executor().memory(o.workload.batch);
  r.start = measure_start(w, r.start);
  r.step_ms = measure_steps(w, o.repeat, o.steps);
  if (busy) r.beside = measure_beside(w, *busy, o.workload.batch, o.repeat, o.steps);
  if (w.options().optimize.plan) r.shares = measure_shares(w);
  r.peak_mib = mib(w.on_cuda() ? static_cast<int64_t>(cuda::counters().peak_bytes) : peak_resident_bytes());
  o.json ? print_json(o, w, r) : print_text(o, w, r);
  return 0;
}

const Verb step_command = {
    .name = "step",
    .help = R"(Time whole training steps on random images.

  {0} --stem cifar --batch 128
  {0} --stem imagenet --batch 32 --json)",
    .add = [](CLI::App& command) -> std::function<int()> {
      const auto o = std::make_shared<StepBenchOptions>();
      add_workload(command, o->workload);
      add_repeats(command, o->repeat, o->steps, "timed repeats");
      command.add_option("--beside", o->beside, "also beside so many busy processes, interleaved with alone")
          ->check(CLI::Range(0, 1024));
      add_settings(command, o->workload.settings);
      add_json(command, o->json);
      return [o] { return run_step_bench(*o); };
    },
};

}  // namespace rt
