// Runs a model's steps: one training micro-batch (with or without the update) or one evaluation batch. By default each
// kind is a Plan, traced once per batch size and replayed; with optimize.plan=false the same ops run eagerly. All plans
// share one arena. On CUDA a step is only enqueued: results come later and in order.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/plan.hpp"
#include "kernels/augment/augment.hpp"
#include "kernels/defaults.hpp"
#include "kernels/fusion.hpp"
#include "kernels/table.hpp"
#include "kernels/tuning.hpp"
#include "kernels/update/optimizer.hpp"
#include "layers/model.hpp"
#include "layers/state.hpp"
#include "train/config/switches.hpp"
#include "train/engine/step_io.hpp"

namespace rt {

struct ExecutorOptions {
  Switches optimize;

  // Where steps run, and what they compute in.
  Device device = Device::cpu;  // on CUDA: the one in use
  DType precision = DType::f32;

  // Batches.
  int64_t largest_batch = 128, height = 32, width = 32;
  AugmentAttrs augment;  // of training batches that come as bytes; type and layout are filled in
  std::shared_ptr<const Tensor> normalise = {};  // [3,256], for the same

  // The loss and the update.
  double label_smoothing = 0.1;
  const Optimizer* optimizer = &optimizer_named("sgd");  // the model state's
  OptimizerAttrs optimizer_attrs;
  ControlAttrs control;  // loss scaling is filled in from the precision
  bool decay_all = false;

  // The rows to choose from, and what narrows the choice.
  std::span<const Row> table = kernel_table();
  std::shared_ptr<const std::vector<RefusedRow>> refused = {};  // by the self-test
  std::shared_ptr<Tuner> tuner = {};  // optimize.autotune, of training steps; null: every row's usual variant
};

struct EvalResult {
  double loss_sum = 0;  // unsmoothed, summed over images
  int64_t images = 0, top1 = 0, top5 = 0;
};
struct MemoryFigures {
  int64_t arena_bytes, unshared_bytes;  // activations and workspaces of one step, shared by lifetime and not
  // Weights, gradients, slots, statistics, the batch; on CUDA resident images and cuBLAS's share.
  int64_t fixed_bytes;
  // Most at any time, by what is known before the first step: of the process, which holds program, images and
  // parameters by then; on CUDA of the device.
  int64_t peak_bytes;
};

class Executor {
 public:
  // Error(usage) where the images are smaller than the model takes.
  Executor(const Model& net, ModelState& state, const ExecutorOptions& options);

  // Keeps the bytes of a data set on the device, for batches that say only which images they consist of.
  void hold(const Dataset& data, const Preparation& preparation, bool training);

  // Enqueues one micro-batch. `weight` is its share of the update's images; `first` overwrites the gradients, `last`
  // updates with `lr`. Its result is the next that result() gives; at most a few are outstanding.
  void enqueue(const Batch& batch, double weight, bool first, bool last, double lr);
  void enqueue_evaluation(const Batch& batch);
  std::optional<StepResult> result(bool wait) { return output_.take(wait); }

  // For tests: enqueues, waits, and gives the latest result.
  StepResult train(const Batch& batch, double weight, bool first, bool last, double lr);
  EvalResult evaluate(const Batch& batch);
  Tensor logits() const;  // [n,classes] f32, of the latest step

  // Runs the batch once more from the present weights and names the first value that is not finite. Changes gradients
  // only.
  std::string first_bad_layer(const Batch& batch);

  MemoryFigures memory(int64_t batch, bool training = true);  // of a step; allocates nothing
  // The chosen implementations of a training step: alone, and with the variants and their timings.
  std::string rows(int64_t batch);
  std::string explain(int64_t batch);
  // The observer is called after each step of a plan that is replayed; benchmarks time steps with it.
  void set_observer(Plan::Observer observer) { observer_ = std::move(observer); }
  const Target& target() const { return target_; }

  // For the self-test: the plan of a step, its inputs in place but nothing run.
  const Plan& prepared_plan(const Batch& batch, bool training);

 private:
  enum class Kind { train, evaluate };
  struct StepKey {  // steps of one key share a plan
    Kind kind;
    StepInput::Source source;
    int64_t batch;
    bool first = false, last = false;
    auto operator<=>(const StepKey&) const = default;
  };
  struct Compiled {
    Var logits;
    std::unique_ptr<Plan> plan;
  };
  StepInput::Source usual_source() const {
    return options_.normalise ? StepInput::Source::bytes : StepInput::Source::given;
  }
  StepKey update_key(int64_t batch) const {  // of a step that is an update by itself
    return {.kind = Kind::train, .source = usual_source(), .batch = batch, .first = true, .last = true};
  }
  StepKey evaluation_key(int64_t batch) const {
    return {.kind = Kind::evaluate, .source = usual_source(), .batch = batch};
  }
  Var images(Tape& tape, const StepKey& key);
  struct Recorded {
    Var logits, dloss;  // dloss: where the backward pass begins
  };
  UpdateVars update_vars(Tape& tape, Var loss, Var control) const;
  Recorded record(Tape& tape, const StepKey& key);
  Compiled compile(const StepKey& key);
  void tune(const StepKey& key, Plan& plan);
  Compiled& plan_of(const StepKey& key);
  void send(const Batch& batch, double weight, double lr);
  void run(const StepKey& key);

  const Model& net_;
  ModelState& state_;
  ExecutorOptions options_;
  Target target_;
  Layout layout_;
  StepInput input_;
  StepOutput output_;
  Storage normalise_;
  std::shared_ptr<Arena> arena_;
  std::map<StepKey, Compiled> plans_;
  struct Resident {  // a data set on the device
    Storage bytes;
    int64_t images = 0;
  };
  std::map<const Dataset*, std::shared_ptr<Resident>> held_;
  std::shared_ptr<Resident> held_train_, held_eval_;
  Tensor eager_logits_;
  const Compiled* latest_ = nullptr;
  bool pushed_ = false;  // the model's numbers are on the device
  Plan::Observer observer_;
};

}  // namespace rt
