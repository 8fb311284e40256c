// The update's control: what a bad step may change, when the loss scale moves, and that a stop holds. On the CPU and on
// the CUDA rows.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/cuda.hpp"
#include "core/rng.hpp"
#include "kernels/report.hpp"
#include "kernels/table.hpp"
#include "kernels/update.hpp"

using namespace rt;

namespace {

constexpr int64_t parameters = 103, decayed = 67, statistics = 5;
using Numbers = std::vector<float>;

class OnDevice {  // f32 or half numbers
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

Numbers random_numbers(int64_t n, uint32_t which, float scale = 1) {
  Rng rng(4, RngPurpose::test, which);
  Numbers v(static_cast<size_t>(n));
  for (float& x : v) x = scale * rng.uniform(-1, 1);
  return v;
}

// A model's flat state on one device, and updates of it.
struct Model {
  Device device;
  SgdAttrs attrs;
  OnDevice weights{device, {parameters}}, grads{device, {parameters}}, momentum{device, {parameters}},
      running{device, {statistics}}, fresh{device, {statistics}}, lr{device, {}}, loss{device, {}},
      control{device, {4}}, half{device, {decayed}, DType::bf16}, report_{device, {report_fields}};
  Numbers report;

  Model(Device d, SgdAttrs a, float scale) : device(d), attrs(a) {
    attrs.decayed = decayed;
    weights.set(random_numbers(parameters, 1));
    running.set(random_numbers(statistics, 2));
    lr.set({0.1f}), loss.set({2});
    control.set({scale, 0, 0, 0});
  }
  // norm. The gradients are `unscaled` times the present scale; `bad` goes into one of them.
  Numbers step(uint32_t which, float bad = 0) {
    Numbers g = random_numbers(parameters, 100 + which, control.get()[0]);
    if (bad != 0) g[70] = bad;
    grads.set(g);
    fresh.set(random_numbers(statistics, 200 + which));
    Tape tape(Tape::Mode::eager, kernel_table(), device == Device::cpu ? cpu_target() : cuda_target());
    auto external = [&](const OnDevice& v) { return tape.external(v.view(), "state"); };
    const Var c = external(control);
    const Var norm = sgd_update(tape,
                                {.weights = external(weights),
                                 .grads = external(grads),
                                 .momentum = external(momentum),
                                 .lr = external(lr),
                                 .loss = external(loss),
                                 .control = c,
                                 .running = external(running),
                                 .running_fresh = external(fresh),
                                 .compute = external(half)},
                                attrs);
    const Tensor counts({{2}, DType::i32});
    Storage correct(counts.spec().bytes(), device);
    write_to({counts.spec(), correct.data()}, device, counts.view().data);
    rt::report(tape, external(loss), tape.external({counts.spec(), correct.data()}, "correct"), c, norm,
               external(report_));
    report = report_.get();
    return OnDevice::numbers_of(tape.view(norm), device);
  }
  std::vector<Numbers> state() const { return {weights.get(), momentum.get(), running.get(), half.get()}; }
};

std::vector<Device> devices() {
  if (!cuda::support().problem.empty()) return {Device::cpu};
  cuda::use(0);
  return {Device::cpu, Device::cuda};
}

constexpr SgdAttrs dynamic{.dynamic_scale = true, .growth_interval = 3};

}  // namespace

TEST_CASE("update: an overflow skips exactly one update and halves the loss scale") {
  for (Device device : devices()) {
    CAPTURE(std::string(name_of(device)));
    for (const float bad : {INFINITY, -INFINITY, NAN}) {
      Model m(device, dynamic, 1024);
      CHECK(m.step(0)[1] == 1);
      const auto before = m.state();
      CHECK(m.control.get() == Numbers{1024, 1, 0, 0});
      CHECK(m.running.get() == m.fresh.get());
      CHECK(m.step(1, bad)[1] == 0);
      CHECK(m.state() == before);
      CHECK(m.fresh.get() == m.running.get());  // the bad step's statistics are gone
      CHECK(m.control.get() == Numbers{512, 0, 1, 0});
      CHECK(m.report[report_updated] == 0);
      CHECK(m.report[report_skipped] == 1);
      CHECK(m.step(2)[1] == 1);
      for (size_t i = 0; i < before.size(); ++i) CHECK(m.state()[i] != before[i]);
      CHECK(m.control.get() == Numbers{512, 1, 1, 0});
      CHECK(m.report == Numbers{2, 0, 0, m.report[report_grad_norm], 1, 512, 1, 0});
    }
  }
}

TEST_CASE("update: the loss scale doubles after the interval of good steps, counted anew after a bad one, up to 2^24") {
  for (Device device : devices()) {
    CAPTURE(std::string(name_of(device)));
    Model m(device, dynamic, 4194304);  // 2^22
    Numbers scales;
    for (uint32_t i = 0; i < 12; ++i) {
      m.step(i, i == 2 ? INFINITY : 0.0f);
      scales.push_back(m.control.get()[0] / 1048576);
    }
    CHECK(scales == Numbers{4, 4, 2, 2, 2, 4, 4, 4, 8, 8, 8, 16});
    for (uint32_t i = 0; i < 6; ++i) m.step(i);
    CHECK(m.control.get() == Numbers{largest_scale, 0, 1, 0});
  }
}

TEST_CASE("update: with a fixed scale a bad step stops everything, and so does a scale that falls below 1") {
  for (Device device : devices()) {
    CAPTURE(std::string(name_of(device)));
    Model fixed(device, {}, 1), shrunk(device, dynamic, 1);
    for (Model* m : {&fixed, &shrunk}) {
      CHECK(m->step(0)[1] == 1);
      const auto before = m->state();
      CHECK(m->step(1, NAN)[1] == 0);
      const Numbers control = m->control.get();
      CHECK(control[3] == 1);
      for (uint32_t i = 2; i < 7; ++i) {  // good ones, which must not happen any more
        m->control.set(control);
        CHECK(m->step(i)[1] == 0);
        CHECK(m->state() == before);
        CHECK(m->control.get() == control);
        CHECK(m->report[report_stop] == 1);
      }
    }
    CHECK(fixed.control.get() == Numbers{1, 0, 0, 1});
    CHECK(shrunk.control.get() == Numbers{0.5f, 0, 1, 1});
    fixed.control.set({1, 0, 0, 0});  // the host has looked
    CHECK(fixed.step(8)[1] == 1);
  }
}

TEST_CASE("update: a loss that is not finite is a bad step too") {
  for (Device device : devices())
    for (const float loss : {INFINITY, NAN}) {
      Model m(device, dynamic, 64);
      const auto weights = m.weights.get();
      m.loss.set({loss});
      CHECK(m.step(0)[1] == 0);
      CHECK(m.weights.get() == weights);
      CHECK(m.control.get() == Numbers{32, 0, 1, 0});
    }
}

TEST_CASE("update: the scale drops out of norm, clipping and update, bit for bit") {
  for (Device device : devices()) {
    CAPTURE(std::string(name_of(device)));
    for (const bool nesterov : {false, true}) {
      const SgdAttrs attrs{.nesterov = nesterov, .clip_norm = 0.5};
      Model plain(device, attrs, 1), scaled(device, attrs, 65536);
      for (uint32_t i = 0; i < 3; ++i) {
        const Numbers a = plain.step(i), b = scaled.step(i);
        CHECK(a[0] == b[0]);
        CHECK(a[2] == 1);
        CHECK(b[2] == 1 / 65536.0f);
        double squares = 0;
        for (float g : random_numbers(parameters, 100 + i)) squares += static_cast<double>(g) * static_cast<double>(g);
        CHECK(a[0] == doctest::Approx(std::sqrt(squares)).epsilon(1e-6));
        CHECK(plain.state() == scaled.state());
      }
    }
  }
}

TEST_CASE("update: SGD as written, and the weights to compute with are the first ones, rounded") {
  for (Device device : devices()) {
    CAPTURE(std::string(name_of(device)));
    Model m(device, {.momentum = 0.9, .weight_decay = 0.01}, 8);
    const Numbers w0 = m.weights.get(), g0 = random_numbers(parameters, 100), g1 = random_numbers(parameters, 101);
    m.step(0), m.step(1);
    const Numbers w = m.weights.get(), half = m.half.get();
    for (size_t i = 0; i < w.size(); ++i) {
      const double decay = i < decayed ? 0.01 : 0.0, start = static_cast<double>(w0[i]);
      const double v0 = static_cast<double>(g0[i]) + decay * start, w1 = start - 0.1 * v0;
      const double v1 = 0.9 * v0 + static_cast<double>(g1[i]) + decay * w1;
      REQUIRE(w[i] == doctest::Approx(w1 - 0.1 * v1).epsilon(1e-5));
    }
    REQUIRE(half.size() == decayed);
    for (size_t i = 0; i < half.size(); ++i) REQUIRE(half[i] == static_cast<float>(bf16(w[i])));
  }
}

TEST_CASE("loss_scale: the loss's gradient is the micro-batch's weight times the scale") {
  for (Device device : devices()) {
    OnDevice weight(device, {}), control(device, {4});
    weight.set({0.75f}), control.set({4096, 1, 2, 0});
    Tape tape(Tape::Mode::eager, kernel_table(), device == Device::cpu ? cpu_target() : cuda_target());
    const Var d = scaled_weight(tape, tape.external(weight.view(), "weight"), tape.external(control.view(), "control"));
    CHECK(OnDevice::numbers_of(tape.view(d), device) == Numbers{3072});
  }
}

TEST_CASE("update: inputs that do not fit are refused by name") {
  Model m(Device::cpu, {}, 1);
  Tape tape(Tape::Mode::trace, kernel_table(), cpu_target());
  const Var p = tape.make({{parameters}}), s = tape.make({}), c = tape.make({{4}});
  const Var larger = tape.make({{parameters + 1}, DType::f16}), full = tape.make({{8}});
  CHECK_THROWS_AS(sgd_update(tape, {p, p, full, s, s, c, {}, {}, {}}, {}), Error);
  CHECK_THROWS_AS(sgd_update(tape, {p, p, p, s, s, full, {}, {}, {}}, {}), Error);
  CHECK_THROWS_AS(sgd_update(tape, {p, p, p, s, s, c, {}, {}, larger}, {}), Error);
  CHECK_THROWS_AS(sgd_update(tape, {p, p, p, s, s, c, {}, {}, full}, {}), Error);
  CHECK_THROWS_AS(scaled_weight(tape, p, c), Error);
  CHECK_THROWS_AS(report(tape, s, s, c, {}, full), Error);
}
