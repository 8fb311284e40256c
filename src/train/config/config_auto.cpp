// Decides the values that are `auto`, each with the reason that the user is shown.
#include <algorithm>

#include "core/check.hpp"
#include "core/log.hpp"
#include "data/sources.hpp"
#include "kernels/defaults.hpp"
#include "train/config/config.hpp"
#include "train/config/config_keys.hpp"

namespace rt {
namespace {

constexpr int batches[] = {128, 64, 32, 16, 8, 4, 2, 1};
// How much of usable memory a plan may take; the rest is data, parameters and the rest of the process.
constexpr double plan_share = 0.7;
// An epoch has at least so many updates, so that a tiny set still teaches something.
constexpr int64_t updates_of_an_epoch = 8;
constexpr double lr_per_256_images = 0.1;

std::string mebibytes(double bytes) {
  const double mib = bytes / (1024 * 1024);
  return mib < 1024 ? rt::format("{:.0f} MiB", mib) : rt::format("{:.1f} GiB", mib / 1024);
}

class Resolver {
 public:
  Resolver(LoadedConfig& loaded, const AutoFacts& facts) : loaded_(loaded), c_(loaded.config), facts_(facts) {}

  void run() {
    device();
    const Count& threads = facts_.machine.threads;
    choose("threads", c_.threads, static_cast<int>(threads.value), threads.reason);
    workers();
    if (!facts_.data_source.empty()) source();
    if (facts_.image_size > 0)
      choose("model.stem", c_.model.stem, std::string(facts_.image_size <= 64 ? "cifar" : "imagenet"),
             rt::format("images of {} px, cifar up to 64 px", facts_.image_size));
    if (is_auto("train.batch") && facts_.train_images > 0 && facts_.plan_bytes) batch();
    if (c_.train.batch > 0) {
      check_batch();
      choose("eval.batch", c_.eval.batch, c_.train.batch, "as train.batch");
      check_eval_batch();
      resident();
      learning_rate();
      warmup();
    }
  }

 private:
  bool on_cuda() const { return facts_.device.device == Device::cuda; }
  const std::string& where(std::string_view key) const { return loaded_.origins.find(key)->second.text; }

  // What hangs on the device alone.
  void device() {
    choose("device", c_.device, facts_.device.name, facts_.device.reason);
    const ComputeDefaults defaults = compute_defaults(facts_.device.target);
    choose("precision", c_.precision, std::string(name_of(defaults.precision)), defaults.precision_reason);
    choose("optimize.layout", c_.optimize.layout, true, defaults.layout_reason);
    precision();
    choose("optimize.recompute", c_.optimize.recompute, std::string(on_cuda() ? "none" : "cheap"),
           on_cuda() ? "for the CPU only, unless given" : "a third less memory for a few milliseconds");
    graph();
  }

  void source() {
    const std::vector<std::string_view> known = source_names();
    RT_CHECK(std::find(known.begin(), known.end(), facts_.data_source) != known.end(),
             "data.source cannot become {}: it is {}", facts_.data_source, joined(known, " or "));
    choose("data.source", c_.data.source, facts_.data_source, facts_.data_source_reason);
  }

  void precision() {
    if (c_.precision == "f32") return;
    const bool chosen_elsewhere = where("precision").starts_with("auto: ");
    const std::string problem = precision_problem(facts_.device.target, dtype_named(c_.precision));
    if (problem.empty()) {
      if (on_cuda() && c_.precision == "f16" && facts_.device.target.capability < 70)
        log_warning(
            "{}: precision = \"f16\" is storage only here: arithmetic stays f32, "
            "since the card computes in f16 at a 64th of the rate; it saves memory and is not faster",
            where("precision"));
      return;
    }
    if (!on_cuda() && chosen_elsewhere)
      fail(ExitCode::usage,
           "this run computes in {}, which the CPU does not: "
           "continue it with device=cuda, or start a new run with model.weights=RUN/last.safetensors",
           c_.precision);
    fail(ExitCode::usage, "{}: precision = \"{}\" {}", chosen_elsewhere ? "this run" : where("precision"), c_.precision,
         problem);
  }

  // True on the CPU, which has no use for the setting; an error where it is on there.
  bool refused_on_cpu(std::string_view key, bool value) const {
    if (on_cuda()) return false;
    if (value) fail(ExitCode::usage, "{}: {} = true applies to device = \"cuda\" only; leave it out", where(key), key);
    return true;
  }

  void graph() {
    choose("optimize.graph", c_.optimize.graph, on_cuda(), on_cuda() ? "one launch a step" : "for CUDA only");
    refused_on_cpu("optimize.graph", c_.optimize.graph);
  }

  // Images stay on the device where they leave room for the step.
  void resident() {
    if (!on_cuda()) choose("optimize.resident", c_.optimize.resident, false, "for CUDA only");
    if (refused_on_cpu("optimize.resident", c_.optimize.resident)) return;
    if (facts_.data_bytes == 0 || !facts_.plan_bytes) return;
    const double room = static_cast<double>(facts_.device.memory.value);
    const double step = static_cast<double>(facts_.plan_bytes(c_.train.batch));
    const double data = static_cast<double>(facts_.data_bytes);
    const bool fits = step + data <= 0.9 * room;
    const std::string reason = rt::format("the images ({}) {} beside the step ({}) in the {}", mebibytes(data),
                                          fits ? "fit" : "do not fit", mebibytes(step), facts_.device.memory.reason);
    if (c_.optimize.resident && !is_auto("optimize.resident") && !fits)
      fail(ExitCode::device, "{}: optimize.resident = true: {}", where("optimize.resident"), reason);
    choose("optimize.resident", c_.optimize.resident, fits, reason);
  }

  // Refuses a batch that the user chose and that is too large, before anything is allocated for it.
  void check_batch() {
    if (!on_cuda() || !facts_.plan_bytes) return;
    const double room = 0.95 * static_cast<double>(facts_.device.memory.value);  // libraries load their code too
    if (static_cast<double>(facts_.plan_bytes(c_.train.batch)) <= room) return;
    std::string table;
    int largest = 0;
    for (int b = c_.train.batch; b >= 1; b /= 2) {
      const auto bytes = static_cast<double>(facts_.plan_bytes(b));
      table += rt::format("\n  batch {:>5}: {}", b, mebibytes(bytes));
      if (bytes > room) continue;
      largest = b;
      break;
    }
    // The largest that fits lies between that one and its double.
    for (int step = largest / 2; step >= 1; step /= 2)
      if (static_cast<double>(facts_.plan_bytes(largest + step)) <= room) largest += step;
    fail(ExitCode::device, "{}: train.batch = {} does not fit into the {}; {}{}", where("train.batch"), c_.train.batch,
         facts_.device.memory.reason,
         largest > 0 ? rt::format("the largest that fits is {}", largest) : "not even one image does", table);
  }

  void check_eval_batch() {
    if (!on_cuda() || !facts_.eval_bytes) return;
    const auto bytes = static_cast<double>(facts_.eval_bytes(c_.eval.batch));
    if (bytes > static_cast<double>(facts_.device.memory.value))
      fail(ExitCode::device, "{}: eval.batch = {} needs {}, more than the {}", where("eval.batch"), c_.eval.batch,
           mebibytes(bytes), facts_.device.memory.reason);
  }

  bool is_auto(std::string_view key) const { return loaded_.origins.find(key)->second.automatic; }

  template <class T>
  void choose(std::string_view key, T& member, T value, const std::string& reason) {
    if (!is_auto(key)) return;
    member = std::move(value);
    loaded_.origins.find(key)->second = {.text = "auto: " + reason, .automatic = false};
  }

  // Few workers do: the kernels use the cores, and preparing a batch is cheap beside computing on it.
  void workers() {
    const Count& cpus = facts_.machine.threads;
    if (cpus.value == 1)
      choose("data.workers", c_.data.workers, 0, "one CPU to work on: " + cpus.reason);
    else
      choose("data.workers", c_.data.workers, c_.threads <= 2 ? 1 : std::clamp(c_.threads / 8, 2, 4),
             rt::format("few beside {} kernel thread{}", c_.threads, c_.threads == 1 ? "" : "s"));
  }

  void batch() {
    const Count& memory = on_cuda() ? facts_.device.memory : facts_.machine.usable_memory_bytes;
    const double budget = plan_share * static_cast<double>(memory.value);
    const int64_t by_data = std::max<int64_t>(1, facts_.train_images / updates_of_an_epoch);
    int64_t refused_bytes = 0;  // what the next larger batch takes, where memory is too small for it
    for (const int b : batches) {
      if (b > by_data) continue;
      const int64_t bytes = facts_.plan_bytes(b);
      if (static_cast<double>(bytes) > budget) {
        refused_bytes = bytes;
        continue;
      }
      const std::string plan = mebibytes(static_cast<double>(bytes));
      std::string reason;
      if (refused_bytes > 0)
        reason = rt::format("largest whose plan ({}; {} for {} images) fits 70 % of the {}", plan,
                            mebibytes(static_cast<double>(refused_bytes)), 2 * b, memory.reason);
      else if (b < batches[0])
        reason = rt::format("largest power of two up to 1/{} of {} training images", updates_of_an_epoch,
                            facts_.train_images);
      else
        reason = rt::format("the preferred size; its plan ({}) fits 70 % of the {}", plan, memory.reason);
      choose("train.batch", c_.train.batch, b, reason);
      return;
    }
    fail(ExitCode::device,
         "not enough memory: a training step on a single image takes {}, and 70 % of the {} is {}; "
         "raise the limit or take a smaller model.arch",
         mebibytes(static_cast<double>(refused_bytes)), memory.reason, mebibytes(budget));
  }

  // The linear scaling rule (Goyal et al., "Accurate, large minibatch SGD", 2017), with a cap. The usual 0.1 is for 256
  // images, not the 128 common with CIFAR, because the value must also hold in short runs on small sets: ResNet-18
  // learns in three epochs of 4,000 images with a peak of 0.01 at batch 32 (this rule: 0.0125) and nearly diverges with
  // 0.05 at batch 64 (this rule: 0.025).
  void learning_rate() {
    const int64_t images = int64_t{c_.train.batch} * c_.train.accumulate;
    choose("optimizer.lr", c_.optimizer.lr,
           lr_per_256_images * static_cast<double>(std::min<int64_t>(images, 256)) / 256,
           rt::format("{} x min({} images an update, 256) / 256", lr_per_256_images, images));
  }

  void warmup() {
    if (c_.schedule.name == "onecycle")
      return choose("schedule.warmup_epochs", c_.schedule.warmup_epochs, 0.0, "one-cycle rises by itself");
    double epochs = c_.train.epochs;
    if (c_.train.steps > 0) {
      if (facts_.train_images == 0) return;
      const double images = static_cast<double>(c_.train.steps) * c_.train.batch * c_.train.accumulate;
      epochs = images / static_cast<double>(facts_.train_images);
    }
    choose("schedule.warmup_epochs", c_.schedule.warmup_epochs, std::min(1.0, 0.1 * epochs),
           rt::format("10 % of {:.3g} epochs, at most 1", epochs));
  }

  LoadedConfig& loaded_;
  Config& c_;
  const AutoFacts& facts_;
};

}  // namespace

void resolve_auto(LoadedConfig& loaded, const AutoFacts& facts) { Resolver(loaded, facts).run(); }

}  // namespace rt
