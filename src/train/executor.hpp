// Runs a model's steps: one training micro-batch (with or without the update) or one evaluation batch. By default each
// kind is a Plan, traced once per batch size and replayed; with optimize.plan=false the same ops run eagerly. All plans
// share one arena. What differs from step to step (images, labels, learning rate, the micro-batch's weight) lies at
// fixed addresses.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "core/plan.hpp"
#include "data/dataset.hpp"
#include "data/loader.hpp"
#include "kernels/augment.hpp"
#include "kernels/update.hpp"
#include "layers/resnet.hpp"
#include "layers/state.hpp"

namespace rt {

struct ExecutorOptions {
  bool plan = true, fuse = true, layout = true, select = true, memory = true;  // the optimize.* switches
  double label_smoothing = 0.1;
  SgdAttrs sgd;  // `decayed` is filled in from the model state
  bool decay_all = false;
  AugmentAttrs augment;  // of training images; type and layout are filled in
  Normalisation normalisation;
  int64_t largest_batch = 128, height = 32, width = 32;
};

struct TrainResult {
  double loss;           // smoothed, mean over the micro-batch
  int64_t top1;          // correct predictions
  double grad_norm = 0;  // of the whole update, before clipping; valid after an update
  bool finite = true;    // false: loss or gradient was not finite, and the update changed nothing
};
struct EvalResult {
  double loss_sum = 0;  // unsmoothed, summed over images
  int64_t images = 0, top1 = 0, top5 = 0;
};
struct MemoryFigures {
  int64_t arena_bytes, unshared_bytes;  // activations and workspaces of one step, shared by lifetime and not
  int64_t fixed_bytes;                  // weights, gradients, momentum, statistics, the batch
};

class Executor {
 public:
  Executor(const ResNet& net, ModelState& state, const ExecutorOptions& options);

  // One micro-batch. `weight` is its share of the update's images; `first` overwrites the gradients, `last` updates
  // with `lr`.
  TrainResult train(const Batch& batch, double weight, bool first, bool last, double lr);
  EvalResult evaluate(const Batch& batch);
  View logits() const;  // [n,classes] of the latest train() or evaluate()

  // Runs the batch once more from the present weights and names the first value that is not finite. Changes gradients only.
  std::string first_bad_layer(const Batch& batch);

  MemoryFigures memory(int64_t batch);  // of a training step; allocates nothing
  std::string explain(int64_t batch);   // the chosen implementations of a training step
  // Called after each step of a plan that is replayed; benchmarks time steps with it.
  void set_observer(Plan::Observer observer) { observer_ = std::move(observer); }

 private:
  enum class Kind { train, evaluate };
  struct Key {
    Kind kind;
    int64_t batch;
    bool first, last;
    bool bytes = true;  // of the images; false: the caller's own floats
    auto operator<=>(const Key&) const = default;
  };
  struct Recorded {  // values to read after the step
    Var loss, correct, norm, logits;
  };
  struct Compiled {
    Recorded vars;
    std::unique_ptr<Plan> plan;
  };
  Recorded record(Tape& tape, const Key& key);
  Compiled compile(const Key& key);
  Compiled& plan_of(const Key& key);
  template <class Read>
  void run(const Key& key, Read&& read);
  void load(const Batch& batch);
  void keep_logits(const View& logits);

  const ResNet& net_;
  ModelState& state_;
  ExecutorOptions options_;
  Target target_;
  std::shared_ptr<Arena> arena_ = std::make_shared<Arena>();
  std::map<Key, Compiled> plans_;
  Storage images_, pixels_;
  Tensor rows_, samples_, epoch_, table_, labels_, lr_, dloss_, control_, logits_;
  int64_t logit_rows_ = 0;
  Plan::Observer observer_;
};

}  // namespace rt
