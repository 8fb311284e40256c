// A model's numbers, outside every plan: flat buffers of weights, gradients and momentum, and of running statistics in
// two copies, committed and fresh. A step writes the fresh copy; the update commits it, or restores it when the step
// was bad. Parameters that decay stand first in the flat buffers, so that the optimizer needs one number to tell them
// apart.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "layers/module.hpp"

namespace rt {

struct NamedView {
  std::string name;
  View view;
};

class ModelState {
 public:
  // optimizer=false leaves gradients and momentum out (evaluation).
  explicit ModelState(Module& root, DType dtype = DType::f32, bool optimizer = true);

  void initialise(uint64_t seed);

  // Binds the model to a tape. Training: gradients go to the flat buffer (added to it with `accumulate`), statistics
  // are the fresh copy. Inference: the committed copy, no gradients.
  Pass begin(Tape& tape, bool training, bool accumulate = false);

  View weights() const { return weights_.view(); }
  View grads() const { return grads_.view(); }
  View momentum() const { return momentum_.view(); }
  View running() const { return running_.view(); }
  View running_fresh() const { return running_fresh_.view(); }
  void restart_statistics();  // fresh = committed: after loading

  int64_t decayed(bool all) const { return all ? weights_.spec().shape.numel() : decayed_; }
  int64_t parameter_count() const { return parameter_count_; }

  // By PyTorch's names. Statistics come from the committed copy.
  std::vector<NamedView> parameters() const { return named(weights_); }
  std::vector<NamedView> gradients() const { return named(grads_); }
  std::vector<NamedView> momenta() const { return named(momentum_); }
  std::vector<NamedView> statistics() const;

  int64_t batches_tracked = 0;  // num_batches_tracked: micro-batches whose statistics were committed

 private:
  std::vector<NamedView> named(const Tensor& flat) const;
  View slice(const Tensor& flat, int64_t offset, const Shape& shape) const;

  std::vector<const Parameter*> parameters_;
  std::vector<const Statistic*> statistics_;
  std::vector<int64_t> parameter_offset_, statistic_offset_;  // in elements
  Tensor weights_, grads_, momentum_, running_, running_fresh_;
  int64_t decayed_ = 0, parameter_count_ = 0;
};

}  // namespace rt
