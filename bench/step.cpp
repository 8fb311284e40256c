#include "bench/step.hpp"

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>

#include "core/rng.hpp"
#include "train/config.hpp"
#include "train/executor.hpp"

namespace rt {
namespace {

using Clock = std::chrono::steady_clock;
double ms_since(Clock::time_point t) { return std::chrono::duration<double, std::milli>(Clock::now() - t).count(); }

Batch random_batch(int64_t count, int64_t side) {
  Batch b;
  b.count = count;
  b.image_storage.resize(static_cast<size_t>(count * 3 * side * side));
  b.label_storage.resize(static_cast<size_t>(count));
  Rng rng(0, RngPurpose::sample);
  for (float& x : b.image_storage) x = rng.uniform(-2, 2);
  for (int32_t& y : b.label_storage) y = static_cast<int32_t>(rng.below(10));
  b.images = b.image_storage.data(), b.labels = b.label_storage.data();
  return b;
}

}  // namespace

int run_step_bench(const StepBenchOptions& o) {
  for (const std::string& setting : o.settings)
    if (!setting.starts_with("optimize."))
      fail(ExitCode::usage, "rbench step takes optimize.* settings, not '{}'", setting);
  const Config config = load_config("", o.settings).config;
  set_threads(o.threads > 0 ? o.threads : static_cast<int>(machine().threads.value));
  const int64_t side = o.side > 0 ? o.side : o.stem == "cifar" ? 32 : 224;

  auto net = make_resnet({o.arch, o.stem, 10});
  ModelState state(*net);
  state.initialise(0);
  ExecutorOptions options;
  options.plan = config.optimize.plan, options.fuse = config.optimize.fuse, options.layout = config.optimize.layout;
  options.select = config.optimize.select, options.memory = config.optimize.memory;
  options.largest_batch = o.batch, options.height = options.width = side;
  Executor executor(*net, state, options);
  const Batch batch = random_batch(o.batch, side);
  const MemoryFigures memory = executor.memory(o.batch);

  auto step = [&] { return executor.train(batch, 1.0, true, true, 0.01); };
  step();
  double loss = step().loss;
  std::vector<double> times;
  for (int r = 0; r < o.repeat; ++r) {
    const Clock::time_point start = Clock::now();
    for (int i = 0; i < o.steps; ++i) loss = step().loss;
    times.push_back(ms_since(start) / o.steps);
  }
  std::sort(times.begin(), times.end());
  const double median = times[times.size() / 2];

  std::map<std::string, double> share;  // of one more step, by kind
  double total = 0;
  if (options.plan) {
    Clock::time_point last = Clock::now();
    executor.set_observer([&](const Step& s) {
      const double ms = ms_since(last);
      share[std::string(s.kind)] += ms, total += ms;
      last = Clock::now();
    });
    last = Clock::now();
    step();
  }
  const double peak_mib = static_cast<double>(peak_resident_bytes()) / (1 << 20);
  if (o.json) {
    nlohmann::json j = {{"cpu", machine().cpu_model},
                        {"isa", name_of(machine().isa)},
                        {"threads", threads_in_use()},
                        {"arch", o.arch},
                        {"stem", o.stem},
                        {"side", side},
                        {"batch", o.batch},
                        {"precision", "f32"},
                        {"step_ms", median},
                        {"step_ms_min", times.front()},
                        {"step_ms_max", times.back()},
                        {"images_per_s", 1e3 * o.batch / median},
                        {"peak_mib", peak_mib},
                        {"loss", loss},
                        {"arena_mib", static_cast<double>(memory.arena_bytes) / (1 << 20)},
                        {"unshared_mib", static_cast<double>(memory.unshared_bytes) / (1 << 20)}};
    for (const auto& [kind, ms] : share) j["share"][kind] = ms / total;
    fmt::print("{}\n", j.dump());
    return 0;
  }
  fmt::print("{} with the {} stem, batch {}, {}x{}, f32, {} with {} threads on {}\n", o.arch, o.stem, o.batch, side,
             side, name_of(machine().isa), threads_in_use(), machine().cpu_model);
  fmt::print("step {:.1f} ms (median of {}; {:.1f} to {:.1f}), {:.1f} images/s, peak memory {:.0f} MiB\n", median,
             o.repeat, times.front(), times.back(), 1e3 * o.batch / median, peak_mib);
  fmt::print("arena {:.0f} MiB, {:.0f} MiB without sharing\n", static_cast<double>(memory.arena_bytes) / (1 << 20),
             static_cast<double>(memory.unshared_bytes) / (1 << 20));
  std::vector<std::pair<double, std::string>> rows;
  for (const auto& [kind, ms] : share) rows.push_back({ms, kind});
  std::sort(rows.rbegin(), rows.rend());
  for (const auto& [ms, kind] : rows) fmt::print("  {:5.1f} %  {:8.2f} ms  {}\n", 100 * ms / total, ms, kind);
  return 0;
}

}  // namespace rt
