#include "layers/state.hpp"

#include <algorithm>
#include <cmath>

#include "core/cuda.hpp"
#include "core/rng.hpp"

namespace rt {
namespace {

// Elements begin to end of a view, from the stream that its parameter has to itself: cut anywhere that is a multiple of 4,
// the parts hold the same numbers as the whole.
void initialise_part(const View& view, int64_t begin, int64_t end, Init init, int64_t fan, Rng rng) {
  constexpr int64_t most = 1024;
  double drawn[most];
  const Shape& s = view.shape();
  const double deviation = init == Init::kaiming_fan_out ? std::sqrt(2.0 / static_cast<double>(s[0] * s[2] * s[3])) : 0;
  const double bound = init == Init::uniform_fan_in ? 1.0 / std::sqrt(static_cast<double>(fan)) : 0;
  rng = rng.from(init == Init::kaiming_fan_out ? 2 * begin : begin);
  for (; begin < end; begin += most) {
    const int64_t n = std::min(most, end - begin);
    switch (init) {
      case Init::kaiming_fan_out:
        rng.normals(drawn, n);
        for (int64_t i = 0; i < n; ++i) drawn[i] *= deviation;
        break;
      case Init::uniform_fan_in:
        for (int64_t i = 0; i < n; ++i) drawn[i] = bound * (2.0 * static_cast<double>(rng.uniform()) - 1.0);
        break;
      case Init::zeros:
      case Init::ones:
        std::fill_n(drawn, n, init == Init::ones ? 1.0 : 0.0);
    }
    if (view.spec.dtype == DType::f64)
      std::copy_n(drawn, n, view.as<double>() + begin);
    else
      std::transform(drawn, drawn + n, view.as<float>() + begin, [](double x) { return static_cast<float>(x); });
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
  struct Part {
    View view;
    int64_t begin;
    Init init;
    int64_t fan;
    size_t index;
  };
  constexpr int64_t size = 1 << 15;
  std::vector<Part> parts;
  auto cut = [&](const View& view, Init init, int64_t fan, size_t index) {
    for (int64_t begin = 0; begin < view.numel(); begin += size) parts.push_back({view, begin, init, fan, index});
  };
  for (const Parameter* p : parameters_) cut(weights[p->index].view, p->init, p->fan, p->index);
  for (const Statistic* s : statistics_) cut(stats[s->index].view, s->init, 1, s->index);
#pragma omp parallel for schedule(dynamic)
  for (const Part& part : parts)
    initialise_part(part.view, part.begin, std::min(part.begin + size, part.view.numel()), part.init, part.fan,
                    Rng(seed, RngPurpose::init, static_cast<uint32_t>(part.index)));
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
