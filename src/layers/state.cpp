#include "layers/state.hpp"

#include <cmath>
#include <cstring>

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
  weights_ = Tensor({{offset}, dtype});
  if (optimizer) grads_ = Tensor({{offset}, dtype}), momentum_ = Tensor({{offset}, dtype});
  int64_t statistics = 0;
  for (const Statistic* s : statistics_) {
    statistic_offset_.push_back(statistics);
    statistics += round_up(s->shape.numel());
  }
  running_ = Tensor({{statistics}, dtype});
  running_fresh_ = Tensor({{statistics}, dtype});
}

View ModelState::slice(const Tensor& flat, int64_t offset, const Shape& shape) const {
  const Spec spec{shape, flat.spec().dtype};
  return {spec, static_cast<std::byte*>(flat.view().data) + static_cast<size_t>(offset) * size_of(spec.dtype)};
}

std::vector<NamedView> ModelState::named(const Tensor& flat) const {
  std::vector<NamedView> list;
  for (const Parameter* p : parameters_) list.push_back({p->name, slice(flat, parameter_offset_[p->index], p->shape)});
  return list;
}

std::vector<NamedView> ModelState::statistics() const {
  std::vector<NamedView> list;
  for (const Statistic* s : statistics_)
    list.push_back({s->name, slice(running_, statistic_offset_[s->index], s->shape)});
  return list;
}

void ModelState::initialise(uint64_t seed) {
  const std::vector<NamedView> weights = parameters(), stats = statistics();
  for (const Parameter* p : parameters_) initialise_view(weights[p->index].view, p->init, p->fan, seed, p->index);
  for (const Statistic* s : statistics_) initialise_view(stats[s->index].view, s->init, 1, seed, s->index);
  batches_tracked = 0;
  restart_statistics();
}

void ModelState::restart_statistics() {
  std::memcpy(running_fresh_.view().data, running_.view().data, running_.spec().bytes());
}

Pass ModelState::begin(Tape& tape, bool training, bool accumulate) {
  Pass pass{tape, training, {}, {}};
  for (const Parameter* p : parameters_) {
    const int64_t offset = parameter_offset_[p->index];
    pass.parameters.push_back(tape.external(slice(weights_, offset, p->shape), p->name, training));
    if (!training) continue;
    const Var target = tape.external(slice(grads_, offset, p->shape), "d " + p->name);
    tape.set_gradient_target(pass.parameters.back(), target, accumulate);
  }
  for (const Statistic* s : statistics_)
    pass.statistics.push_back(
        tape.external(slice(training ? running_fresh_ : running_, statistic_offset_[s->index], s->shape), s->name));
  return pass;
}

}  // namespace rt
