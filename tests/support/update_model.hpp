// For tests of the update: a flat state without a network, and updates of it on the CPU and on the CUDA rows, fused and
// as the sequence of steps that is recorded.
#pragma once
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "core/cuda.hpp"
#include "core/plan.hpp"
#include "core/rng.hpp"
#include "kernels/fusion.hpp"
#include "kernels/table.hpp"
#include "kernels/update/optimizer.hpp"
#include "kernels/update/report.hpp"

namespace rt::testing {

inline constexpr int64_t parameters = 103, decayed = 67, statistics = 5;
using Numbers = std::vector<float>;

class OnDevice {  // f32 or half numbers, or whole ones
 public:
  OnDevice(Device device, Shape shape, DType dtype = DType::f32)
      : device_(device), spec_{shape, dtype}, storage_(spec_.bytes(), device) {
    set(Numbers(static_cast<size_t>(shape.numel())));
  }
  View view() const { return {spec_, storage_.data()}; }
  void set(const Numbers& numbers) {
    Tensor wide({spec_.shape}), narrow(spec_);
    std::copy(numbers.begin(), numbers.end(), wide.as<float>());
    copy_convert(wide.view(), narrow.view());
    write_to(view(), device_, narrow.view().data);
  }
  Numbers get() const { return numbers_of(view(), device_); }
  static Numbers numbers_of(const View& view, Device device) {
    Tensor wide({view.shape()});
    copy_convert(read_back(view, device).view(), wide.view());
    return {wide.as<float>(), wide.as<float>() + view.numel()};
  }

 private:
  Device device_;
  Spec spec_;
  Storage storage_;
};

inline Numbers random_numbers(int64_t n, uint32_t which, float scale = 1) {
  Rng rng(4, RngPurpose::test, which);
  Numbers v(static_cast<size_t>(n));
  for (float& x : v) x = scale * rng.uniform(-1, 1);
  return v;
}

inline std::vector<Device> devices() {
  if (!cuda::support().problem.empty()) return {Device::cpu};
  cuda::use(0);
  return {Device::cpu, Device::cuda};
}
inline Target target_of(Device device) { return device == Device::cpu ? cpu_target() : cuda_target(); }

// Where updates run, and how: step by step on an eager tape, or in a plan without the rules of fusion in `unfused`.
struct Way {
  Device device;
  bool planned;
  std::string unfused = {};
};
inline std::vector<Way> ways() {
  std::vector<Way> list;
  for (Device device : devices())
    for (const bool fused : {false, true}) list.push_back({device, fused});
  return list;
}
inline std::string name_of(const Way& way) {
  return rt::format("{}{}", rt::name_of(way.device), way.planned ? ", fused" : "");
}

inline constexpr OptimizerAttrs plain{.nesterov = false};
inline constexpr ControlAttrs dynamic{.dynamic_scale = true, .growth_interval = 3};

// A model's flat state, and updates of it by SGD.
struct UpdateModel {
  Way way;
  OptimizerAttrs attrs;
  ControlAttrs control_attrs;
  Device device = way.device;
  int64_t count, copied;  // parameters, and those of them that decay and are computed with in bf16
  OnDevice weights{device, {count}}, grads{device, {count}}, momentum{device, {count}}, running{device, {statistics}},
      fresh{device, {statistics}}, lr{device, {}}, loss{device, {}}, control{device, {4}},
      updates{device, {}, DType::i32}, half{device, {copied}, DType::bf16}, report_{device, {report_fields}};
  bool has_half = true;
  Numbers report;

  UpdateModel(Way w, const OptimizerAttrs& a, const ControlAttrs& c, float scale, int64_t n = parameters,
              int64_t decaying = decayed)
      : way(std::move(w)), attrs(a), control_attrs(c), count(n), copied(decaying) {
    weights.set(random_numbers(count, 1));
    running.set(random_numbers(statistics, 2));
    lr.set({0.1f});
    loss.set({2});
    control.set({scale, 0, 0, 0});
  }
  UpdateVars vars(Tape& tape) const {
    auto external = [&](const OnDevice& v) { return tape.external(v.view(), "state"); };
    return {.weights = external(weights),
            .grads = external(grads),
            .slots = {{"momentum", external(momentum)}},
            .parameters = {{.name = "decaying", .shape = {copied}},
                           {.name = "others", .shape = {count - copied}, .offset = copied, .decays = false}},
            .lr = external(lr),
            .loss = external(loss),
            .control = external(control),
            .updates = external(updates),
            .running = external(running),
            .running_fresh = external(fresh),
            .compute = has_half ? external(half) : Var{}};
  }
  // norm. The gradients are random numbers times the present scale; `bad` goes into one of them.
  Numbers step(uint32_t which, float bad = 0) {
    Numbers g = random_numbers(count, 100 + which, control.get()[0]);
    if (bad != 0) g[70] = bad;
    grads.set(g);
    fresh.set(random_numbers(statistics, 200 + which));
    Tape tape(way.planned ? Tape::Mode::trace : Tape::Mode::eager, kernel_table(), target_of(device));
    const UpdateVars v = vars(tape);
    const Var norm = record_update(tape, v, optimizer_named("sgd"), attrs, control_attrs);
    const Tensor counts({{2}, DType::i32});
    Storage correct(counts.spec().bytes(), device);
    write_to({counts.spec(), correct.data()}, device, counts.view().data);
    rt::report(tape, v.loss, tape.external({counts.spec(), correct.data()}, "correct"), v.control, norm,
               tape.external(report_.view(), "report"));
    if (!way.planned) {
      report = report_.get();
      return OnDevice::numbers_of(tape.view(norm), device);
    }
    const std::vector<Rewrite> rules = fusion_rules_without(way.unfused);
    Plan plan(std::move(tape), std::make_shared<Arena>(device), {.rewrites = rules, .keep = {norm}});
    CHECK(plan.rewritten("sgd") == (way.unfused == "sgd" ? 0 : 1));
    CHECK(plan.rewritten("sgd.round") == (way.unfused.empty() && has_half ? 1 : 0));
    plan.replay();
    report = report_.get();
    return OnDevice::numbers_of(plan.view(norm), device);
  }
  std::vector<Numbers> state() const { return {weights.get(), momentum.get(), running.get(), half.get()}; }
};

}  // namespace rt::testing
