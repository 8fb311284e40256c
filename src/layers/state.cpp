#include "layers/state.hpp"

#include <cmath>

#include "core/cuda.hpp"
#include "core/rng.hpp"

namespace rt {
namespace {

void fill(const View& view, const auto& next) {
  for (int64_t i = 0; i < view.numel(); ++i) {
    if (view.spec.dtype == DType::f64)
      view.as<double>()[i] = next();
    else
      view.as<float>()[i] = static_cast<float>(next());
  }
}

void initialise_view(const View& view, Init init, int64_t fan, uint64_t seed, size_t index) {
  Rng rng(seed, RngPurpose::init, static_cast<uint32_t>(index));
  const Shape& s = view.shape();
  switch (init) {
    case Init::kaiming_fan_out: {
      const double std = std::sqrt(2.0 / static_cast<double>(s[0] * s[2] * s[3]));
      return fill(view, [&] { return std * rng.normal(); });
    }
    case Init::uniform_fan_in: {
      const double bound = 1.0 / std::sqrt(static_cast<double>(fan));
      return fill(view, [&] { return bound * (2.0 * static_cast<double>(rng.uniform()) - 1.0); });
    }
    case Init::zeros:
      return fill(view, [] { return 0.0; });
    case Init::ones:
      return fill(view, [] { return 1.0; });
  }
}

constexpr int64_t round_up(int64_t elements) { return (elements + 15) / 16 * 16; }  // every slice starts on 64 bytes

}  // namespace

ModelState::ModelState(Module& root, DType dtype, bool optimizer) {
  root.visit([&](Module& m) {
    for (auto& p : m.own_parameters()) parameters_.push_back(p.get());
    for (auto& s : m.own_statistics()) statistics_.push_back(s.get());
  });
  parameter_offset_.resize(parameters_.size());
  int64_t offset = 0;
  for (bool decays : {true, false}) {
    for (const Parameter* p : parameters_) {
      if (p->decays != decays) continue;
      parameter_offset_[p->index] = offset;
      offset += round_up(p->shape.numel());
      parameter_count_ += p->shape.numel();
    }
    if (decays) decayed_ = offset;
  }
  weights_.host = Tensor({{offset}, dtype});
  if (optimizer) grads_.host = Tensor({{offset}, dtype}), momentum_.host = Tensor({{offset}, dtype});
  int64_t statistics = 0;
  for (const Statistic* s : statistics_) {
    statistic_offset_.push_back(statistics);
    statistics += round_up(s->shape.numel());
  }
  running_.host = Tensor({{statistics}, dtype});
  running_fresh_.host = Tensor({{statistics}, dtype});
  control_.host = Tensor({{4}, DType::f32});
  control_values()[0] = 1;
}

View ModelState::slice(const View& flat, int64_t offset, const Shape& shape) const {
  const Spec spec{shape, flat.spec.dtype};
  return {spec, static_cast<std::byte*>(flat.data) + static_cast<size_t>(offset) * size_of(spec.dtype)};
}

std::vector<NamedView> ModelState::named(const Flat& flat) const {
  std::vector<NamedView> list;
  for (const Parameter* p : parameters_)
    list.push_back({p->name, slice(flat.host.view(), parameter_offset_[p->index], p->shape)});
  return list;
}

std::vector<NamedView> ModelState::statistics() const {
  std::vector<NamedView> list;
  for (const Statistic* s : statistics_)
    list.push_back({s->name, slice(running_.host.view(), statistic_offset_[s->index], s->shape)});
  return list;
}

void ModelState::initialise(uint64_t seed) {
  const std::vector<NamedView> weights = parameters(), stats = statistics();
  for (const Parameter* p : parameters_) initialise_view(weights[p->index].view, p->init, p->fan, seed, p->index);
  for (const Statistic* s : statistics_) initialise_view(stats[s->index].view, s->init, 1, seed, s->index);
  batches_tracked = 0;
  copy_convert(running_.host.view(), running_fresh_.host.view());
}

void ModelState::restart_statistics() {
  if (placement_.device == Device::cuda)
    cuda::copy_on_device(running_fresh_.view().data, running_.view().data, running_.view().spec.bytes(),
                         cuda::compute_stream());
  else
    copy_convert(running_.view(), running_fresh_.view());
}

std::vector<ModelState::Flat*> ModelState::flats() {
  return {&weights_, &grads_, &momentum_, &running_, &running_fresh_, &control_};
}

void ModelState::place(const Placement& placement) { placement_ = placement; }

size_t ModelState::step_bytes() const {
  size_t bytes = has_compute_weights() ? compute_weights().spec.bytes() : 0;
  for (const Flat* f : {&weights_, &grads_, &momentum_, &running_, &running_fresh_, &control_})
    bytes += f->host.spec().bytes();
  return bytes;
}

View ModelState::compute_weights() const { return {{{decayed_}, placement_.compute}, compute_weights_.data()}; }

// Whole flat buffers of parameters with their 4-d weights in another order.
void ModelState::reorder(const Tensor& from, const Tensor& to, Layout from_layout, Layout to_layout) const {
  for (const Parameter* p : parameters_) {
    View a = slice(from.view(), parameter_offset_[p->index], p->shape),
         b = slice(to.view(), parameter_offset_[p->index], p->shape);
    if (p->shape.rank() == 4) a.spec.layout = from_layout, b.spec.layout = to_layout;
    copy_convert(a, b);
  }
}

void ModelState::push() {
  copy_convert(running_.host.view(), running_fresh_.host.view());
  if (has_compute_weights() && !compute_weights_.data())
    compute_weights_ = Storage(compute_weights().spec.bytes(), placement_.device);
  if (placement_.device == Device::cpu) {
    if (has_compute_weights()) copy_convert({{{decayed_}, DType::f32}, weights_.host.view().data}, compute_weights());
    return;
  }
  for (Flat* f : flats()) {
    if (f->host.spec().bytes() == 0) continue;
    if (!f->device.data()) f->device = Storage(f->host.spec().bytes(), Device::cuda);
    const bool of_parameters = f == &weights_ || f == &grads_ || f == &momentum_;
    if (!of_parameters) {
      write_to(f->view(), Device::cuda, f->host.view().data);
      continue;
    }
    const Tensor ordered(f->host.spec());  // zeros in the gaps between parameters
    reorder(f->host, ordered, Layout::nchw, placement_.weights);
    write_to(f->view(), Device::cuda, ordered.view().data);
    if (f != &weights_ || !has_compute_weights()) continue;
    const Tensor half({{decayed_}, placement_.compute});
    copy_convert({{{decayed_}, DType::f32}, ordered.view().data}, half.view());
    write_to(compute_weights(), Device::cuda, half.view().data);
  }
}

void ModelState::pull() {
  if (placement_.device == Device::cpu) return;
  for (Flat* f : flats()) {
    if (!f->device.data()) continue;
    const Tensor there = read_back(f->view(), Device::cuda);
    if (f == &weights_ || f == &grads_ || f == &momentum_)
      reorder(there, f->host, placement_.weights, Layout::nchw);
    else
      copy_convert(there.view(), f->host.view());
  }
}

Pass ModelState::begin(Tape& tape, bool training, bool accumulate) {
  Pass pass{tape, training, {}, {}};
  for (const Parameter* p : parameters_) {
    const int64_t offset = parameter_offset_[p->index];
    View weight = slice(weights_.view(), offset, p->shape), gradient{};
    if (training) gradient = slice(grads_.view(), offset, p->shape);
    if (p->shape.rank() >= 2 && has_compute_weights()) weight = slice(compute_weights(), offset, p->shape);
    if (p->shape.rank() == 4) weight.spec.layout = gradient.spec.layout = placement_.weights;
    pass.parameters.push_back(tape.external(weight, p->name, training));
    if (!training) continue;
    const Var target = tape.external(gradient, "d " + p->name);
    tape.set_gradient_target(pass.parameters.back(), target, accumulate);
  }
  for (const Statistic* s : statistics_)
    pass.statistics.push_back(tape.external(
        slice((training ? running_fresh_ : running_).view(), statistic_offset_[s->index], s->shape), s->name));
  return pass;
}

}  // namespace rt
