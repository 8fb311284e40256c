#include "bench/workload.hpp"

#include <algorithm>
#include <cstring>

#include "core/clock.hpp"
#include "core/rng.hpp"
#include "kernels/conv2d/cudnn/cudnn_choices.hpp"
#include "layers/models.hpp"
#include "train/session.hpp"

namespace rt {
namespace {

constexpr int classes = 10;

class RandomImages final : public Dataset {
 public:
  RandomImages(int64_t count, const DatasetInfo& info)
      : info_(info), image_(info.image.bytes()), bytes_(static_cast<size_t>(count * image_)), size_(count) {
    Rng rng(0, RngPurpose::sample);
    for (uint8_t& b : bytes_) b = static_cast<uint8_t>(rng.next() >> 24);
    labels_.resize(static_cast<size_t>(count));
    for (int32_t& y : labels_) y = static_cast<int32_t>(rng.below(classes));
  }
  const DatasetInfo& info() const override { return info_; }
  int64_t size() const override { return size_; }
  int label(int64_t i) const override { return labels_[static_cast<size_t>(i)]; }
  std::string name(int64_t i) const override { return rt::format("random image {}", i); }
  std::vector<FileStamp> files() const override { return {}; }
  void read(int64_t i, std::span<uint8_t> image) const override {
    std::memcpy(image.data(), bytes_.data() + i * image_, image.size());
  }

 private:
  DatasetInfo info_;
  int64_t image_;
  std::vector<uint8_t> bytes_;
  int64_t size_;
  std::vector<int32_t> labels_;
};

}  // namespace

// What `auto` stands for is decided as in training. Only the images are made to fit on the device.
Config Workload::resolved(const WorkloadOptions& o) {
  for (const std::string& setting : o.settings)
    if (!setting.starts_with("optimize.") && !setting.starts_with("pin="))
      fail(ExitCode::usage, "rbench takes pin and optimize.* settings, not '{}'", setting);
  LoadedConfig loaded = load_config("", o.settings);
  Config& c = loaded.config;
  set_threads(o.threads > 0 ? o.threads : static_cast<int>(machine().threads.value), c.pin == "on");
  device_ = choose_device(o.device, "--device");
  const DType precision = dtype_named(o.precision, compute_defaults(device_.target).precision);
  if (const std::string problem = precision_problem(device_.target, precision); !problem.empty())
    fail(ExitCode::usage, "--precision {}: {}", name_of(precision), problem);
  c.precision = name_of(precision);
  c.train.batch = o.batch;
  c.eval.batch = o.batch;
  const Origin from_option{.text = "command line", .automatic = false};
  for (const char* key : {"precision", "train.batch", "eval.batch"}) loaded.origins.find(key)->second = from_option;
  resolve_auto(loaded, {.machine = machine(), .device = device_});
  if (loaded.origins.find("optimize.resident")->second.automatic) c.optimize.resident = true;
  return c;
}

Workload::Workload(const WorkloadOptions& o) {
  const Config c = resolved(o);
  resident_ = c.optimize.resident;
  DatasetInfo info;
  info.classes = classes;
  info.image.height = o.side > 0 ? o.side : o.stem == "cifar" ? 32 : 224;
  info.image.width = info.image.height;
  options_ = executor_options(c, info.image);
  const float mean[] = {0.5f, 0.5f, 0.5f}, deviation[] = {0.25f, 0.25f, 0.25f};
  options_.normalise = std::make_shared<Tensor>(normalise_table(mean, deviation));
  if (on_cuda())
    cudnn::configure(
        {.deterministic = c.optimize.deterministic, .cache_file = cudnn::default_cache_file(), .run_file = ""});
  else if (c.optimize.autotune)
    options_.tuner = std::make_shared<Tuner>();
  make_model_and_executor(o);
  make_loader(o, info);
}

void Workload::make_model_and_executor(const WorkloadOptions& o) {
  net_ = make_model({.arch = o.arch, .stem = o.stem, .classes = classes});
  state_ = std::make_unique<ModelState>(*net_, options_.optimizer);
  const double began = now_ms();
  state_->initialise(0);
  weights_ms_ = now_ms() - began;
  executor_ = std::make_unique<Executor>(*net_, *state_, options_);
}

void Workload::make_loader(const WorkloadOptions& o, const DatasetInfo& info) {
  // Enough images that batches differ; more where they stay on the device, and do not count as the program's memory.
  const int64_t image = info.image.bytes(), two = 2 * int64_t{o.batch};
  const int64_t held = std::max<int64_t>(o.batch, std::min<int64_t>(8192, (int64_t{256} << 20) / image));
  data_ = std::make_unique<RandomImages>(resident_ ? held : two, info);
  if (resident_) executor_->hold(*data_, *as_stored(info.image), true);
  workers_ = o.workers >= 0 ? o.workers : threads_in_use() > 1 ? 1 : 0;
  LoaderOptions options;
  options.batch = o.batch;
  options.shuffle = true;
  options.drop_last = true;
  options.gather = !resident_;
  options.workers = workers_;
  options.prefetch = o.prefetch;
  loader_ = std::make_unique<Loader>(*data_, options);
  loader_->start(epoch_);
}

const Batch& Workload::next() {
  const Batch* batch = loader_->next();
  if (!batch) {
    loader_->start(++epoch_);
    batch = loader_->next();
  }
  return *batch;
}

void Workload::enqueue(const Batch& batch) {
  executor_->enqueue(batch, 1.0, true, true, 0.01);
  while (const auto r = executor_->result(false)) loss_ = r->loss;
}

void Workload::finish() {
  while (const auto r = executor_->result(true)) loss_ = r->loss;
}

const Plan& Workload::plan() { return executor_->prepared_plan(next(), true); }

std::string Workload::where() const {
  if (on_cuda()) return device_.reason;
  return rt::format("{} with {} thread{} on {}", name_of(machine().isa), threads_in_use(),
                    threads_in_use() == 1 ? "" : "s", machine().cpu_model);
}

}  // namespace rt
