// A model's numbers, outside every plan: flat buffers of weights, gradients and the optimizer's slots, and of running
// statistics in two copies, committed and fresh. A step writes the fresh copy; the update commits it, or restores it
// when the step was bad. Parameters that decay stand first in the flat buffers, so that an optimizer needs one number
// to tell them apart.
// By name the numbers are found in the host's memory, K,C,R,S and f32, as files hold them. Steps compute where place()
// says: on CUDA that is a second copy, with weights in the order that convolutions want; and in half precision, on
// either device, one more of the weights in that type. push() and pull() carry numbers across.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "kernels/update/optimizer.hpp"
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
  // Makes room for gradients and the optimizer's slots too; null leaves them out (evaluation).
  explicit ModelState(Module& root, const Optimizer* optimizer = &optimizer_named("sgd"), DType dtype = DType::f32);

  // Draws the host's numbers, as loading a file reads them: push() afterwards.
  void initialise(uint64_t seed);
  // Says where steps will compute. It allocates nothing yet.
  void place(const Placement& placement);
  // What the host holds becomes what steps compute with; the fresh statistics are the committed ones.
  void push();
  // What steps computed comes back to the host. It waits for the device.
  void pull();

  // Binds the model to a tape. Training: gradients go to the flat buffer (added to it with `accumulate`), statistics
  // are the fresh copy. Inference: the committed copy, no gradients.
  Pass begin(Tape& tape, bool training, bool accumulate = false);

  // These are where steps find them.
  View weights() const { return flats_[weights_].view(); }
  View grads() const { return flats_[grads_].view(); }
  View slot(std::string_view name) const { return slot_named(name).view(); }  // throws where there is none
  View running() const { return flats_[running_].view(); }
  View running_fresh() const { return flats_[running_fresh_].view(); }
  View control() const { return flats_[control_].view(); }  // [4], see kernels/update/control.hpp
  View updates() const { return flats_[updates_].view(); }  // [] i32, see there
  View compute_weights() const;                             // the decaying part in half precision
  bool has_compute_weights() const { return placement_.compute == DType::f16 || placement_.compute == DType::bf16; }
  void restart_statistics();  // fresh = committed: after a bad batch
  size_t step_bytes() const;  // of all that a training step finds here
  // Where parameters lie in the flat buffers that steps find, and which of them decay: by default, or all.
  std::vector<FlatSlice> slices(bool decay_all) const;

  // The host's.
  float* control_values() const { return flats_[control_].host.as<float>(); }
  int32_t& updates_done() const { return *flats_[updates_].host.as<int32_t>(); }

  int64_t parameter_count() const { return parameter_count_; }

  // By PyTorch's names. Statistics come from the committed copy.
  std::vector<NamedView> parameters() const { return named(flats_[weights_]); }
  std::vector<NamedView> gradients() const { return named(flats_[grads_]); }
  std::vector<NamedView> in_slot(std::string_view name) const { return named(slot_named(name)); }
  std::vector<NamedView> statistics() const;
  const std::vector<std::string_view>& slots() const { return slot_names_; }  // their names, in the optimizer's order

  int64_t batches_tracked = 0;  // num_batches_tracked: micro-batches whose statistics were committed

 private:
  struct Flat {
    bool of_parameters;
    Tensor host;
    Storage device = {};  // empty on the CPU
    View view() const { return {host.spec(), device.data() ? device.data() : host.view().data}; }
  };
  const Flat& slot_named(std::string_view name) const;
  std::vector<NamedView> named(const Flat& flat) const;
  void reorder(const Tensor& from, const Tensor& to, Layout from_layout, Layout to_layout) const;

  std::vector<const Parameter*> parameters_;
  std::vector<const Statistic*> statistics_;
  std::vector<FlatSlice> parameter_slices_, statistic_slices_;  // by index, as the host holds them
  std::vector<std::string_view> slot_names_;
  // All flat buffers; the slots stand last.
  enum : size_t { weights_, grads_, running_, running_fresh_, control_, updates_, first_slot_ };
  std::vector<Flat> flats_;
  Placement placement_;
  Storage compute_weights_;
  int64_t decayed_ = 0, parameter_count_ = 0;
};

}  // namespace rt
