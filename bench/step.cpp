#include "bench/step.hpp"

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>

#include "core/cuda.hpp"
#include "core/rng.hpp"
#include "kernels/cudnn_choices.hpp"
#include "train/config.hpp"
#include "train/executor.hpp"

namespace rt {
namespace {

using Clock = std::chrono::steady_clock;
double ms_since(Clock::time_point t) { return std::chrono::duration<double, std::milli>(Clock::now() - t).count(); }

// Enough random images that a step's batch is not the one before it.
class RandomImages final : public Dataset {
 public:
  RandomImages(int64_t count, int64_t side)
      : image_(3 * side * side), bytes_(static_cast<size_t>(count * image_)), size_(count) {
    info_.classes = 10, info_.height = info_.width = static_cast<int>(side);
    Rng rng(0, RngPurpose::sample);
    for (uint8_t& b : bytes_) b = static_cast<uint8_t>(rng.next() >> 24);
    labels_.resize(static_cast<size_t>(count));
    for (int32_t& y : labels_) y = static_cast<int32_t>(rng.below(10));
  }
  const DatasetInfo& info() const override { return info_; }
  int64_t size() const override { return size_; }
  int label(int64_t i) const override { return labels_[static_cast<size_t>(i)]; }
  const uint8_t* pixels(int64_t i) const override { return bytes_.data() + i * image_; }

 private:
  DatasetInfo info_;
  int64_t image_;
  std::vector<uint8_t> bytes_;
  int64_t size_;
  std::vector<int32_t> labels_;
};

}  // namespace

int run_step_bench(const StepBenchOptions& o) {
  for (const std::string& setting : o.settings)
    if (!setting.starts_with("optimize."))
      fail(ExitCode::usage, "rbench step takes optimize.* settings, not '{}'", setting);
  const LoadedConfig loaded = load_config("", o.settings);
  const Config& config = loaded.config;
  set_threads(o.threads > 0 ? o.threads : static_cast<int>(machine().threads.value));
  const int64_t side = o.side > 0 ? o.side : o.stem == "cifar" ? 32 : 224;

  const DeviceChoice device = choose_device(o.device, "--device");
  const ComputeDefaults defaults = compute_defaults(device.target);
  ExecutorOptions options;
  options.device = device.device;
  options.precision = dtype_named(o.precision, defaults.precision);
  if (const std::string problem = precision_problem(device.target, options.precision); !problem.empty())
    fail(ExitCode::usage, "--precision {}: {}", name_of(options.precision), problem);
  options.plan = config.optimize.plan, options.fuse = config.optimize.fuse, options.layout = config.optimize.layout;
  options.select = config.optimize.select, options.winograd = config.optimize.winograd;
  options.memory = config.optimize.memory;
  const bool on_cuda = device.device == Device::cuda;
  auto chosen = [&](const char* key, const auto& value, const auto& automatic) {
    return loaded.origins.find(key)->second.automatic ? automatic : value;
  };
  options.graph = chosen("optimize.graph", config.optimize.graph, on_cuda);
  const bool resident = chosen("optimize.resident", config.optimize.resident, on_cuda);
  options.recompute =
      recompute_named(chosen("optimize.recompute", config.optimize.recompute, std::string(on_cuda ? "none" : "cheap")));
  options.augment = {.crop_padding = 4, .flip = true, .random = true};
  const float mean[] = {0.5f, 0.5f, 0.5f}, deviation[] = {0.25f, 0.25f, 0.25f};
  options.normalise = std::make_shared<Tensor>(normalise_table(mean, deviation));
  options.largest_batch = o.batch, options.height = options.width = side;

  if (on_cuda) cudnn::configure({config.optimize.deterministic, cudnn::default_cache_file(), ""});

  auto net = make_resnet({o.arch, o.stem, 10});
  ModelState state(*net);
  state.initialise(0);
  Executor executor(*net, state, options);
  // Enough that batches differ; more where they stay on the device, and do not count as the program's memory.
  const RandomImages data(
      resident ? std::max<int64_t>(o.batch, std::min<int64_t>(8192, (int64_t{256} << 20) / (3 * side * side)))
               : int64_t{2} * o.batch,
      side);
  if (resident) executor.hold(data, true);
  const MemoryFigures memory = executor.memory(o.batch);
  // Program, images and parameters are in memory by now; the arena comes with the first step.
  const int64_t before = on_cuda ? memory.fixed_bytes : peak_resident_bytes();
  const double planned_mib = static_cast<double>(memory.arena_bytes + before) / (1 << 20);
  LoaderOptions feed;
  feed.batch = o.batch, feed.shuffle = true, feed.drop_last = true, feed.gather = !resident;
  feed.workers = threads_in_use() > 1 ? 1 : 0;
  Loader loader(data, feed);
  uint32_t epoch = 0;
  loader.start(epoch);

  double loss = 0;
  auto step = [&] {  // enqueued; results are read as they come
    const Batch* batch = loader.next();
    if (!batch) loader.start(++epoch), batch = loader.next();
    executor.enqueue(*batch, 1.0, true, true, 0.01);
    while (const auto r = executor.result(false)) loss = r->loss;
  };
  auto finish = [&] {
    while (const auto r = executor.result(true)) loss = r->loss;
  };
  const Clock::time_point began = Clock::now();
  step(), finish();
  const double first_step_ms = ms_since(began);
  step(), finish();
  step(), finish();
  std::vector<double> times;
  for (int r = 0; r < o.repeat; ++r) {
    const Clock::time_point start = Clock::now();
    for (int i = 0; i < o.steps; ++i) step();
    finish();
    times.push_back(ms_since(start) / o.steps);
  }
  std::sort(times.begin(), times.end());
  const double median = times[times.size() / 2];

  std::map<std::string, double> share;  // of one more step, by kind
  double total = 0;
  if (options.plan) {
    Clock::time_point last = Clock::now();
    executor.set_observer([&](const Step& s) {
      if (on_cuda) cuda::synchronize(cuda::compute_stream());
      const double ms = ms_since(last);
      share[std::string(s.kind)] += ms, total += ms;
      last = Clock::now();
    });
    last = Clock::now();
    step(), finish();
  }
  const double peak_mib =
      static_cast<double>(on_cuda ? static_cast<int64_t>(cuda::counters().peak_bytes) : peak_resident_bytes()) /
      (1 << 20);
  const std::string where =
      on_cuda ? device.reason
              : fmt::format("{} with {} threads on {}", name_of(machine().isa), threads_in_use(), machine().cpu_model);
  if (o.json) {
    nlohmann::json j = {{"cpu", machine().cpu_model},
                        {"isa", name_of(machine().isa)},
                        {"threads", threads_in_use()},
                        {"arch", o.arch},
                        {"stem", o.stem},
                        {"side", side},
                        {"batch", o.batch},
                        {"device", device.name},
                        {"device_name", where},
                        {"precision", name_of(options.precision)},
                        {"graph", options.graph},
                        {"resident", resident},
                        {"first_step_ms", first_step_ms},
                        {"planned_mib", planned_mib},
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
  fmt::print("{} with the {} stem, batch {}, {}x{}, {}, {}\n", o.arch, o.stem, o.batch, side, side,
             name_of(options.precision), where);
  fmt::print("step {:.1f} ms (median of {}; {:.1f} to {:.1f}), {:.1f} images/s, peak memory {:.0f} MiB\n", median,
             o.repeat, times.front(), times.back(), 1e3 * o.batch / median, peak_mib);
  fmt::print("planned {:.0f} MiB; arena {:.0f} MiB, {:.0f} MiB without sharing\n", planned_mib,
             static_cast<double>(memory.arena_bytes) / (1 << 20),
             static_cast<double>(memory.unshared_bytes) / (1 << 20));
  std::vector<std::pair<double, std::string>> rows;
  for (const auto& [kind, ms] : share) rows.push_back({ms, kind});
  std::sort(rows.rbegin(), rows.rend());
  for (const auto& [ms, kind] : rows) fmt::print("  {:5.1f} %  {:8.2f} ms  {}\n", 100 * ms / total, ms, kind);
  return 0;
}

}  // namespace rt
