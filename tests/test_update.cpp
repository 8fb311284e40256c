// The update: SGD as written, what a bad step may change, when the loss scale moves, and that a stop holds. On the CPU and on
// the CUDA rows, fused and as the sequence of steps that the op records.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/cuda.hpp"
#include "core/plan.hpp"
#include "core/rng.hpp"
#include "kernels/fusion.hpp"
#include "kernels/table.hpp"
#include "kernels/update/report.hpp"
#include "kernels/update/update.hpp"

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

// Where updates run, and how: step by step on an eager tape, or in a plan without the rules of fusion in `unfused`.
struct Way {
  Device device;
  bool planned;
  std::string unfused = {};
};

// A model's flat state, and updates of it.
struct Model {
  Way way;
  Device device = way.device;
  SgdAttrs attrs;
  int64_t count, copied;  // parameters, and those of them that decay and are computed with in bf16
  OnDevice weights{device, {count}}, grads{device, {count}}, momentum{device, {count}}, running{device, {statistics}},
      fresh{device, {statistics}}, lr{device, {}}, loss{device, {}}, control{device, {4}},
      half{device, {copied}, DType::bf16}, report_{device, {report_fields}};
  bool has_half = true;
  Numbers report;

  Model(Way w, SgdAttrs a, float scale, int64_t n = parameters, int64_t c = decayed)
      : way(std::move(w)), attrs(a), count(n), copied(c) {
    attrs.decayed = copied;
    weights.set(random_numbers(count, 1));
    running.set(random_numbers(statistics, 2));
    lr.set({0.1f}), loss.set({2});
    control.set({scale, 0, 0, 0});
  }
  // norm. The gradients are `unscaled` times the present scale; `bad` goes into one of them.
  Numbers step(uint32_t which, float bad = 0) {
    Numbers g = random_numbers(count, 100 + which, control.get()[0]);
    if (bad != 0) g[70] = bad;
    grads.set(g);
    fresh.set(random_numbers(statistics, 200 + which));
    Tape tape(way.planned ? Tape::Mode::trace : Tape::Mode::eager, kernel_table(),
              device == Device::cpu ? cpu_target() : cuda_target());
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
                                 .compute = has_half ? external(half) : Var{}},
                                attrs);
    const Tensor counts({{2}, DType::i32});
    Storage correct(counts.spec().bytes(), device);
    write_to({counts.spec(), correct.data()}, device, counts.view().data);
    rt::report(tape, external(loss), tape.external({counts.spec(), correct.data()}, "correct"), c, norm,
               external(report_));
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

std::vector<Device> devices() {
  if (!cuda::support().problem.empty()) return {Device::cpu};
  cuda::use(0);
  return {Device::cpu, Device::cuda};
}

std::vector<Way> ways() {
  std::vector<Way> list;
  for (Device device : devices())
    for (const bool fused : {false, true}) list.push_back({device, fused});
  return list;
}
std::string name_of(const Way& way) { return rt::format("{}{}", name_of(way.device), way.planned ? ", fused" : ""); }

constexpr SgdAttrs dynamic{.dynamic_scale = true, .growth_interval = 3};

}  // namespace

TEST_CASE("update: an overflow skips exactly one update and halves the loss scale") {
  for (const Way& way : ways()) {
    CAPTURE(name_of(way));
    for (const float bad : {INFINITY, -INFINITY, NAN}) {
      Model m(way, dynamic, 1024);
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
  for (const Way& way : ways()) {
    CAPTURE(name_of(way));
    Model m(way, dynamic, 4194304);  // 2^22
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
  for (const Way& way : ways()) {
    CAPTURE(name_of(way));
    Model fixed(way, {}, 1), shrunk(way, dynamic, 1);
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
  for (const Way& way : ways())
    for (const float loss : {INFINITY, NAN}) {
      Model m(way, dynamic, 64);
      const auto weights = m.weights.get();
      m.loss.set({loss});
      CHECK(m.step(0)[1] == 0);
      CHECK(m.weights.get() == weights);
      CHECK(m.control.get() == Numbers{32, 0, 1, 0});
    }
}

TEST_CASE("update: the scale drops out of norm, clipping and update, bit for bit") {
  for (const Way& way : ways()) {
    CAPTURE(name_of(way));
    for (const bool nesterov : {false, true}) {
      const SgdAttrs attrs{.nesterov = nesterov, .clip_norm = 0.5};
      Model plain(way, attrs, 1), scaled(way, attrs, 65536);
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
  for (const Way& way : ways()) {
    CAPTURE(name_of(way));
    Model m(way, {.momentum = 0.9, .weight_decay = 0.01}, 8);
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

TEST_CASE("update: in one pass or in two it is the sequence of steps, bit for bit, at any thread count") {
  struct Threads {
    ~Threads() { set_threads(before); }
    int before = threads_in_use();
  } guard;
  for (Device device : devices())
    for (const SgdAttrs& sgd : {SgdAttrs{}, SgdAttrs{.nesterov = true}, SgdAttrs{.clip_norm = 0.5},
                                SgdAttrs{.weight_decay = 0.01, .nesterov = true, .clip_norm = 20}})
      for (const bool half : {false, true}) {
        CAPTURE(std::string(name_of(device)));
        CAPTURE(sgd.nesterov);
        CAPTURE(sgd.clip_norm);
        CAPTURE(half);
        SgdAttrs attrs = sgd;
        attrs.dynamic_scale = true, attrs.growth_interval = 2;
        const int64_t count = device == Device::cpu ? 40003 : 4003;  // chunks for both threads
        auto after = [&](const Way& way, int threads) {
          set_threads(threads);
          Model m(way, attrs, 1024, count, count - 1002);
          m.has_half = half;
          std::vector<Numbers> all;
          for (uint32_t i = 0; i < 5; ++i) {
            Numbers norm = m.step(i, i == 3 ? INFINITY : 0.0f);
            CHECK(norm[1] == (i == 3 ? 0 : 1));
            if (i != 3) all.push_back(std::move(norm));
            for (Numbers& state : m.state()) all.push_back(std::move(state));
            all.push_back(m.control.get());
          }
          return all;
        };
        const std::vector<Numbers> sequence = after({device, false}, 1);
        for (const int threads : {1, 2}) {
          CAPTURE(threads);
          for (const Way& way :
               {Way{device, false}, Way{device, true, "sgd"}, Way{device, true, "sgd.round"}, Way{device, true}}) {
            CAPTURE(way.planned);
            CAPTURE(way.unfused);
            CHECK((after(way, threads) == sequence));
          }
        }
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
