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

// Since the process was started, by the kernel's account: to 10 ms, as it counts in ticks. 0 where /proc does not say.
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

struct Start {        // of this process, in ms
  double startup;     // until this benchmark was called: loading the program, probing the machine
  double setup;       // network, weights, images
  double autotune;    // timing variants that the user's cache does not know yet
  double plan;        // tracing and planning
  double first_step;  // memory is touched for the first time, threads start
  double total;       // from the start of the process to the end of the first step
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

}  // namespace

int run_step_bench(const StepBenchOptions& o) {
  Start start{};
  start.startup = process_age_ms();
  std::optional<BusyProcesses> busy;
  if (o.beside >= 0) busy.emplace(o.beside);
  double began = now_ms();
  Workload w(o.workload);
  start.setup = now_ms() - began;
  const ExecutorOptions& options = w.options();
  const int batch = o.workload.batch;
  const MemoryFigures memory = w.executor().memory(batch);
  const double planned_mib = mib(memory.peak_bytes);
  began = now_ms();
  if (options.optimize.plan) w.plan();
  if (options.tuner) start.autotune = options.tuner->timing_ms();
  start.plan = now_ms() - began - start.autotune;
  began = now_ms();
  w.step();
  w.finish();
  start.first_step = now_ms() - began;
  start.total = process_age_ms();

  for (int i = 0; i < 2; ++i) {
    w.step();
    w.finish();
  }
  std::vector<double> times;
  for (int r = 0; r < o.repeat; ++r) {
    began = now_ms();
    for (int i = 0; i < o.steps; ++i) w.step();
    w.finish();
    times.push_back((now_ms() - began) / o.steps);
  }
  const Spread step_ms = spread_of(times);
  std::optional<BesideFigures> beside;
  if (busy) beside = measure_beside(w, *busy, batch, o.repeat, o.steps);

  std::map<std::string, double> share;  // of one more step, by kind
  double total = 0;
  if (options.optimize.plan) {
    double last = 0;
    w.executor().set_observer([&](const Step& s) {
      if (w.on_cuda()) cuda::synchronize(cuda::compute_stream());
      const double ms = now_ms() - last;
      share[std::string(s.kind)] += ms;
      total += ms;
      last = now_ms();
    });
    const Batch& next = w.next();
    last = now_ms();
    w.enqueue(next);
    w.finish();
  }
  const double peak_mib = mib(w.on_cuda() ? static_cast<int64_t>(cuda::counters().peak_bytes) : peak_resident_bytes());
  if (o.json) {
    nlohmann::json j = provenance();
    j.update({{"isa", name_of(machine().isa)},
              {"threads", threads_in_use()},
              {"workers", w.workers()},
              {"arch", o.workload.arch},
              {"stem", o.workload.stem},
              {"side", options.height},
              {"batch", batch},
              {"device", w.device_name()},
              {"device_name", w.where()},
              {"precision", name_of(options.precision)},
              {"graph", options.optimize.graph},
              {"resident", w.resident()},
              {"startup_ms", start.startup},
              {"setup_ms", start.setup},
              {"weights_ms", w.weights_ms()},
              {"plan_ms", start.plan},
              {"autotune_ms", start.autotune},
              {"first_step_ms", start.first_step},
              {"first_step_after_ms", start.total},
              {"planned_mib", planned_mib},
              {"step_ms", step_ms.median},
              {"step_ms_min", step_ms.least},
              {"step_ms_max", step_ms.most},
              {"images_per_s", 1e3 * batch / step_ms.median},
              {"peak_mib", peak_mib},
              {"loss", w.loss()},
              {"arena_mib", mib(memory.arena_bytes)},
              {"unshared_mib", mib(memory.unshared_bytes)}});
    for (const auto& [kind, ms] : share) j["share"][kind] = ms / total;
    if (beside) j["beside"] = json_of(*beside);
    rt::print("{}\n", j.dump());
    return 0;
  }
  rt::print("{} with the {} stem, batch {}, {}x{}, {}, {}\n", o.workload.arch, o.workload.stem, batch, options.height,
            options.width, name_of(options.precision), w.where());
  rt::print("step {:.1f} ms (median of {}; {:.1f} to {:.1f}), {:.1f} images/s, peak memory {:.0f} MiB\n",
            step_ms.median, o.repeat, step_ms.least, step_ms.most, 1e3 * batch / step_ms.median, peak_mib);
  if (beside) print(*beside);
  rt::print("planned {:.0f} MiB; arena {:.0f} MiB, {:.0f} MiB without sharing\n", planned_mib, mib(memory.arena_bytes),
            mib(memory.unshared_bytes));
  rt::print("first step after {:.0f} ms: start-up {:.0f}, ", start.total, start.startup);
  rt::print("network and images {:.0f} (its weights {:.0f}), ", start.setup, w.weights_ms());
  rt::print("plan {:.0f}, step {:.0f}{}\n", start.plan, start.first_step,
            start.autotune > 0 ? rt::format(", autotune {:.0f} (once)", start.autotune) : "");
  std::vector<std::pair<double, std::string>> rows;
  for (const auto& [kind, ms] : share) rows.push_back({ms, kind});
  std::sort(rows.rbegin(), rows.rend());
  for (const auto& [ms, kind] : rows) rt::print("  {:5.1f} %  {:8.2f} ms  {}\n", 100 * ms / total, ms, kind);
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
