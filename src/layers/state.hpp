// A model's numbers, outside every plan: flat buffers of weights, gradients and momentum, and of running statistics in
// two copies, committed and fresh. A step writes the fresh copy; the update commits it, or restores it when the step
// was bad. Parameters that decay stand first in the flat buffers, so that the optimizer needs one number to tell them
// apart.
// By name the numbers are found in the host's memory, K,C,R,S and f32, as files hold them. Steps compute where place()
// says: on CUDA that is a second copy, with weights in the order that convolutions want; and in half precision, on either
// device, one more of the weights in that type. push() and pull() carry numbers across.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "layers/module.hpp"

namespace rt {

struct Placement {
  Device device = Device::cpu;
  Layout weights = Layout::nchw;  // of 4-d weights
  DType compute = DType::f32;     // type in which weights of 2 and more dimensions take part in a step
};

struct NamedView {
  std::string name;
  View view;
};

class ModelState {
 public:
  // optimizer=false leaves gradients and momentum out (evaluation).
  explicit ModelState(Module& root, DType dtype = DType::f32, bool optimizer = true);

  void initialise(uint64_t seed);          // of the host's copy, as loading is: push() afterwards
  void place(const Placement& placement);  // allocates nothing yet
  void push();  // what the host holds becomes what steps compute with; the fresh statistics are the committed ones
  void pull();  // and back; waits for the device

  // Binds the model to a tape. Training: gradients go to the flat buffer (added to it with `accumulate`), statistics
  // are the fresh copy. Inference: the committed copy, no gradients.
  Pass begin(Tape& tape, bool training, bool accumulate = false);

  // Where steps find them.
  View weights() const { return weights_.view(); }
  View grads() const { return grads_.view(); }
  View momentum() const { return momentum_.view(); }
  View running() const { return running_.view(); }
  View running_fresh() const { return running_fresh_.view(); }
  View control() const { return control_.view(); }  // [4], see kernels/update/update.hpp
  View compute_weights() const;                     // the decaying part in half precision
  bool has_compute_weights() const { return placement_.compute == DType::f16 || placement_.compute == DType::bf16; }
  void restart_statistics();  // fresh = committed: after a bad batch
  float* control_values() const { return control_.host.as<float>(); }
  size_t step_bytes() const;  // of all that a training step finds here

  int64_t decayed(bool all) const { return all ? weights_.host.spec().shape.numel() : decayed_; }
  int64_t parameter_count() const { return parameter_count_; }

  // By PyTorch's names. Statistics come from the committed copy.
  std::vector<NamedView> parameters() const { return named(weights_); }
  std::vector<NamedView> gradients() const { return named(grads_); }
  std::vector<NamedView> momenta() const { return named(momentum_); }
  std::vector<NamedView> statistics() const;

  int64_t batches_tracked = 0;  // num_batches_tracked: micro-batches whose statistics were committed

 private:
  struct Flat {
    Tensor host;
    Storage device;  // empty on the CPU
    View view() const { return {host.spec(), device.data() ? device.data() : host.view().data}; }
  };
  std::vector<NamedView> named(const Flat& flat) const;
  View slice(const View& flat, int64_t offset, const Shape& shape) const;
  std::vector<Flat*> flats();
  void reorder(const Tensor& from, const Tensor& to, Layout from_layout, Layout to_layout) const;

  std::vector<const Parameter*> parameters_;
  std::vector<const Statistic*> statistics_;
  std::vector<int64_t> parameter_offset_, statistic_offset_;  // in elements
  Flat weights_, grads_, momentum_, running_, running_fresh_, control_;
  Placement placement_;
  Storage compute_weights_;
  int64_t decayed_ = 0, parameter_count_ = 0;
};

}  // namespace rt
