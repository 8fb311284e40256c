// Checkpoints: everything that a run needs to go on as if it had never stopped, in one safetensors file per update:
// weights and statistics by torchvision's names, the optimizer's slots as "optimizer.SLOT.NAME"
// ("optimizer.momentum.fc.bias"), the loop's state and the update's control in the metadata.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "train/model_file.hpp"

namespace rt {

struct LoopState {
  int64_t step = 0;        // updates done
  uint32_t epoch = 0;      // the epoch under way, from 0
  int64_t position = 0;    // samples of it that were consumed (not: prefetched)
  bool evaluated = false;  // the evaluation due after this very step was made
  double loss_sum = 0;     // over the images of this epoch so far
  int64_t top1 = 0;
  std::optional<double> best;  // of eval.monitor
  std::string fingerprint;     // what the bits depend on: program, instruction set, compiler, chosen implementations
  std::string data;            // checksum of the training images and labels
};

class CheckpointFolder {
 public:
  CheckpointFolder(std::string folder, int keep) : folder_(std::move(folder)), keep_(keep) {}

  // Writes step-N.safetensors (atomically), then removes all but the newest `keep`. Files of later updates can only be
  // ones that load_newest() had to skip: they are set aside under another name.
  void save(const LoopState& loop, const ModelInfo& info, const ModelState& state) const;

  struct Loaded {
    LoopState loop;
    ModelInfo info;
    SafetensorsFile file;
  };
  // The newest one that is whole; damaged ones are named and skipped. Error(data) if there is none.
  Loaded load_newest() const;

 private:
  std::vector<std::string> newest_first() const;
  std::string folder_;
  int keep_;
};

// Puts weights, statistics, the optimizer's slots and control of a checkpoint into a model of the same architecture and
// optimizer. Error(data) names a tensor that is missing or of another size.
void restore(const CheckpointFolder::Loaded& checkpoint, const Model& model, ModelState& state);

}  // namespace rt
