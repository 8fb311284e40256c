#include "layers/state.hpp"

#include <algorithm>
#include <cmath>

#include "core/cuda.hpp"
#include "core/rng.hpp"

namespace rt {
namespace {

// Draws elements begin to end of a view from the stream that its parameter has to itself. Parts that are cut at
// multiples of 4 hold the same numbers as the whole.
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

ModelState::ModelState(Module& root, const Optimizer* optimizer, DType dtype) {
  root.visit([&](Module& m) {
    for (auto& p : m.own_parameters()) parameters_.push_back(p.get());
    for (auto& s : m.own_statistics()) statistics_.push_back(s.get());
  });
  parameter_slices_.resize(parameters_.size());
  int64_t elements = 0;
  for (bool decays : {true, false}) {
    for (const Parameter* p : parameters_) {
      if (p->decays != decays) continue;
      parameter_slices_[p->index] = {.name = p->name, .shape = p->shape, .offset = elements, .decays = decays};
      elements += round_up(p->shape.numel());
      parameter_count_ += p->shape.numel();
    }
    if (decays) decayed_ = elements;
  }
  int64_t statistics = 0;
  for (const Statistic* s : statistics_) {
    statistic_slices_.push_back({.name = s->name, .shape = s->shape, .offset = statistics, .decays = false});
    statistics += round_up(s->shape.numel());
  }
  if (optimizer) slot_names_ = optimizer->slots;
  const auto of_parameters = [&](int64_t n) { return Flat{.of_parameters = true, .host = Tensor({{n}, dtype})}; };
  const auto other = [](const Spec& spec) { return Flat{.of_parameters = false, .host = Tensor(spec)}; };
  flats_.resize(first_slot_ + slot_names_.size());
  for (size_t i = first_slot_; i < flats_.size(); ++i) flats_[i] = of_parameters(elements);
  flats_[weights_] = of_parameters(elements);
  flats_[grads_] = of_parameters(optimizer ? elements : 0);
  flats_[running_] = other({{statistics}, dtype});
  flats_[running_fresh_] = other({{statistics}, dtype});
  flats_[control_] = other({{4}, DType::f32});
  flats_[updates_] = other({{}, DType::i32});
  control_values()[0] = 1;
}

const ModelState::Flat& ModelState::slot_named(std::string_view name) const {
  const auto found = std::find(slot_names_.begin(), slot_names_.end(), name);
  RT_CHECK(found != slot_names_.end(), "the model's state has no slot '{}' of an optimizer; it has: {}", name,
           slot_names_.empty() ? "none" : joined(slot_names_, ", "));
  return flats_[first_slot_ + static_cast<size_t>(found - slot_names_.begin())];
}

std::vector<FlatSlice> ModelState::slices(bool decay_all) const {
  std::vector<FlatSlice> list = parameter_slices_;
  for (FlatSlice& slice : list) {
    slice.layout = placement_.weights;
    slice.decays |= decay_all;
  }
  return list;
}

std::vector<NamedView> ModelState::named(const Flat& flat) const {
  std::vector<NamedView> list;
  for (const FlatSlice& slice : parameter_slices_) list.push_back({slice.name, slice.of(flat.host.view())});
  return list;
}

std::vector<NamedView> ModelState::statistics() const {
  std::vector<NamedView> list;
  for (const FlatSlice& slice : statistic_slices_) list.push_back({slice.name, slice.of(flats_[running_].host.view())});
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
    for (int64_t begin = 0; begin < view.numel(); begin += size)
      parts.push_back({.view = view, .begin = begin, .init = init, .fan = fan, .index = index});
  };
  for (const Parameter* p : parameters_) cut(weights[p->index].view, p->init, p->fan, p->index);
  for (const Statistic* s : statistics_) cut(stats[s->index].view, s->init, 1, s->index);
#pragma omp parallel for schedule(dynamic)
  for (const Part& part : parts)
    initialise_part(part.view, part.begin, std::min(part.begin + size, part.view.numel()), part.init, part.fan,
                    Rng(seed, RngPurpose::init, static_cast<uint32_t>(part.index)));
  batches_tracked = 0;
  copy_convert(flats_[running_].host.view(), flats_[running_fresh_].host.view());
}

void ModelState::restart_statistics() {
  if (placement_.device == Device::cuda)
    cuda::copy_on_device(running_fresh().data, running().data, running().spec.bytes(), cuda::compute_stream());
  else
    copy_convert(running(), running_fresh());
}

void ModelState::place(const Placement& placement) { placement_ = placement; }

size_t ModelState::step_bytes() const {
  size_t bytes = has_compute_weights() ? compute_weights().spec.bytes() : 0;
  for (const Flat& f : flats_) bytes += f.host.spec().bytes();
  return bytes;
}

View ModelState::compute_weights() const { return {{{decayed_}, placement_.compute}, compute_weights_.data()}; }

// Copies a whole flat buffer of parameters into another, where 4-d weights have another order.
void ModelState::reorder(const Tensor& from, const Tensor& to, Layout from_layout, Layout to_layout) const {
  for (FlatSlice slice : parameter_slices_) {
    slice.layout = from_layout;
    const View a = slice.of(from.view());
    slice.layout = to_layout;
    copy_convert(a, slice.of(to.view()));
  }
}

void ModelState::push() {
  copy_convert(flats_[running_].host.view(), flats_[running_fresh_].host.view());
  if (has_compute_weights() && !compute_weights_.data())
    compute_weights_ = Storage(compute_weights().spec.bytes(), placement_.device);
  if (placement_.device == Device::cpu) {
    if (has_compute_weights()) copy_convert({{{decayed_}, DType::f32}, weights().data}, compute_weights());
    return;
  }
  for (Flat& f : flats_) {
    if (f.host.spec().bytes() == 0) continue;
    if (!f.device.data()) f.device = Storage(f.host.spec().bytes(), Device::cuda);
    if (!f.of_parameters) {
      write_to(f.view(), Device::cuda, f.host.view().data);
      continue;
    }
    const Tensor ordered(f.host.spec());  // zeros in the gaps between parameters
    reorder(f.host, ordered, Layout::nchw, placement_.weights);
    write_to(f.view(), Device::cuda, ordered.view().data);
    if (&f != &flats_[weights_] || !has_compute_weights()) continue;
    const Tensor half({{decayed_}, placement_.compute});
    copy_convert({{{decayed_}, DType::f32}, ordered.view().data}, half.view());
    write_to(compute_weights(), Device::cuda, half.view().data);
  }
}

void ModelState::pull() {
  if (placement_.device == Device::cpu) return;
  for (Flat& f : flats_) {
    if (!f.device.data()) continue;
    const Tensor there = read_back(f.view(), Device::cuda);
    if (f.of_parameters)
      reorder(there, f.host, placement_.weights, Layout::nchw);
    else
      copy_convert(there.view(), f.host.view());
  }
}

Pass ModelState::begin(Tape& tape, bool training, bool accumulate) {
  Pass pass{.tape = tape, .training = training, .parameters = {}, .statistics = {}};
  for (const FlatSlice& slice : slices(false)) {
    const bool half = slice.shape.rank() >= 2 && has_compute_weights();
    pass.parameters.push_back(tape.external(slice.of(half ? compute_weights() : weights()), slice.name, training));
    if (!training) continue;
    const Var target = tape.external(slice.of(grads()), "d " + slice.name);
    tape.set_gradient_target(pass.parameters.back(), target, accumulate);
  }
  for (const FlatSlice& slice : statistic_slices_)
    pass.statistics.push_back(tape.external(slice.of(training ? running_fresh() : running()), slice.name));
  return pass;
}

}  // namespace rt
