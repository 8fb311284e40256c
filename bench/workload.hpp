// A model and random images, ready to take training steps: what every measurement of whole steps runs. Settings reach
// the executor the way training's own do, so a switch means the same in both.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "data/loader.hpp"
#include "train/config/config.hpp"
#include "train/engine/executor.hpp"

namespace rt {

struct WorkloadOptions {
  std::string stem = "cifar", arch = "resnet18", precision = "f32", device = "cpu";
  int batch = 128;
  int side = 0;                       // pixels; 0: the stem's own
  int threads = 0;                    // 0: as training chooses
  int workers = -1, prefetch = 2;     // of the loader; -1: one where there is more than one thread
  std::vector<std::string> settings;  // optimize.fuse=false, pin=on, ...
};

class Workload {
 public:
  // Throws Error(usage) for a setting that is neither pin nor optimize.*, or a precision that the device does not
  // compute in.
  explicit Workload(const WorkloadOptions& options);

  const Batch& next();               // the next batch, on through the epochs
  void enqueue(const Batch& batch);  // one training step; results are taken as they come
  void step() { enqueue(next()); }
  void finish();       // waits for all that was enqueued
  const Plan& plan();  // of these steps: traced now if it was not yet, inputs in place, nothing run

  Executor& executor() { return *executor_; }
  const ExecutorOptions& options() const { return options_; }
  bool on_cuda() const { return options_.device == Device::cuda; }
  bool resident() const { return resident_; }
  double loss() const { return loss_; }  // of the latest step whose result is known
  int workers() const { return workers_; }
  double weights_ms() const { return weights_ms_; }                // spent on drawing the first weights
  const std::string& device_name() const { return device_.name; }  // "cpu", "cuda:0"
  std::string where() const;                                       // "avx512 with 2 threads on MODEL", or the card

 private:
  Config resolved(const WorkloadOptions& o);
  void make_model_and_executor(const WorkloadOptions& o);
  void make_loader(const WorkloadOptions& o, const DatasetInfo& info);

  DeviceChoice device_;
  ExecutorOptions options_;
  bool resident_ = false;
  int workers_ = 0;
  double weights_ms_ = 0;
  std::unique_ptr<Model> net_;
  std::unique_ptr<ModelState> state_;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<Dataset> data_;
  std::unique_ptr<Loader> loader_;  // last: its threads read data_
  uint32_t epoch_ = 0;
  double loss_ = 0;
};

}  // namespace rt
