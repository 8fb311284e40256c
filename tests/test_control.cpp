// What stands around an optimizer's steps: what a bad step may change, when the loss scale moves, that a stop holds,
// which updates count. On the CPU and on the CUDA rows.
#include "kernels/update/control.hpp"
#include "tests/support/update_model.hpp"

using namespace rt;
using namespace rt::testing;

TEST_CASE("control: an overflow skips exactly one update and halves the loss scale") {
  for (const Way& way : ways()) {
    CAPTURE(name_of(way));
    for (const float bad : {INFINITY, -INFINITY, NAN}) {
      UpdateModel m(way, plain, dynamic, 1024);
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

TEST_CASE(
    "control: the loss scale doubles after the interval of good steps, counted anew after a bad one, up to 2^24") {
  for (const Way& way : ways()) {
    CAPTURE(name_of(way));
    UpdateModel m(way, plain, dynamic, 4194304);  // 2^22
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

TEST_CASE("control: with a fixed scale a bad step stops everything, and so does a scale that falls below 1") {
  for (const Way& way : ways()) {
    CAPTURE(name_of(way));
    UpdateModel fixed(way, plain, {}, 1), shrunk(way, plain, dynamic, 1);
    for (UpdateModel* m : {&fixed, &shrunk}) {
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

TEST_CASE("control: a loss that is not finite is a bad step too") {
  for (const Way& way : ways())
    for (const float loss : {INFINITY, NAN}) {
      UpdateModel m(way, plain, dynamic, 64);
      const auto weights = m.weights.get();
      m.loss.set({loss});
      CHECK(m.step(0)[1] == 0);
      CHECK(m.weights.get() == weights);
      CHECK(m.control.get() == Numbers{32, 0, 1, 0});
    }
}

TEST_CASE("control: the scale drops out of norm, clipping and update, bit for bit") {
  for (const Way& way : ways()) {
    CAPTURE(name_of(way));
    for (const bool nesterov : {false, true}) {
      const OptimizerAttrs attrs{.nesterov = nesterov};
      UpdateModel unscaled(way, attrs, {.clip_norm = 0.5}, 1), scaled(way, attrs, {.clip_norm = 0.5}, 65536);
      for (uint32_t i = 0; i < 3; ++i) {
        const Numbers a = unscaled.step(i), b = scaled.step(i);
        CHECK(a[0] == b[0]);
        CHECK(a[2] == doctest::Approx(0.5 / (static_cast<double>(a[0]) + 1e-6)));
        CHECK(b[2] == a[2] / 65536);
        double squares = 0;
        for (float g : random_numbers(parameters, 100 + i)) squares += static_cast<double>(g) * static_cast<double>(g);
        CHECK(a[0] == doctest::Approx(std::sqrt(squares)).epsilon(1e-6));
        CHECK(unscaled.state() == scaled.state());
      }
    }
  }
}

TEST_CASE("control: the count of updates holds those that happened, neither skipped nor stopped ones") {
  for (const Way& way : ways()) {
    CAPTURE(name_of(way));
    Numbers counts;
    UpdateModel skipping(way, plain, dynamic, 1024);
    skipping.updates.set({7});  // a run goes on
    for (uint32_t i = 0; i < 6; ++i) {
      skipping.step(i, i == 1 || i == 4 ? INFINITY : 0.0f);
      counts.push_back(skipping.updates.get()[0]);
    }
    CHECK(counts == Numbers{8, 8, 9, 10, 10, 11});
    CHECK(skipping.control.get()[2] == 2);

    counts.clear();
    UpdateModel stopping(way, plain, {}, 1);
    for (uint32_t i = 0; i < 5; ++i) {
      stopping.step(i, i == 2 ? NAN : 0.0f);
      counts.push_back(stopping.updates.get()[0]);
    }
    CHECK(counts == Numbers{1, 2, 2, 2, 2});
    stopping.control.set({1, 0, 0, 0});  // the host has looked
    stopping.step(5);
    CHECK(stopping.updates.get() == Numbers{3});
  }
}

TEST_CASE("control: the count of updates is exact where f32 would not be") {
  for (const Way& way : ways()) {
    UpdateModel m(way, plain, {}, 1);
    const Tensor before({{}, DType::i32});
    *before.as<int32_t>() = 16777217;  // 2^24 + 1
    write_to(m.updates.view(), way.device, before.view().data);
    m.step(0);
    CHECK(*read_back(m.updates.view(), way.device).as<int32_t>() == 16777218);
  }
}

TEST_CASE("control: the loss's gradient is the micro-batch's weight times the scale") {
  for (Device device : devices()) {
    OnDevice weight(device, {}), control(device, {4});
    weight.set({0.75f});
    control.set({4096, 1, 2, 0});
    Tape tape(Tape::Mode::eager, kernel_table(), target_of(device));
    const Var d = scaled_weight(tape, tape.external(weight.view(), "weight"), tape.external(control.view(), "control"));
    CHECK(OnDevice::numbers_of(tape.view(d), device) == Numbers{3072});
  }
}

TEST_CASE("control: each of its steps is recorded by an op of its own, none by the optimizer's") {
  const UpdateModel m({Device::cpu, true}, plain, {.clip_norm = 3, .dynamic_scale = true, .growth_interval = 11}, 1);
  Tape tape(Tape::Mode::trace, kernel_table(), cpu_target());
  record_update(tape, m.vars(tape), optimizer_named("sgd"), m.attrs, m.control_attrs);
  std::string kinds;
  for (const Step& step : tape.steps()) {
    kinds += rt::format("{} by {}, ", step.kind, step.ops[0]->name());
    if (step.kind == "grad_norm") CHECK(clip_norm_of(step.ops) == 3);
    if (step.kind == "control.update") CHECK(control_attrs(step.ops).growth_interval == 11);
  }
  CHECK(kinds ==
        "grad_norm by grad_norm, sgd.gradient by sgd, sgd.momentum by sgd, sgd.apply by sgd, "
        "weights.round by weights.round, commit by control, control.update by control, ");
}

TEST_CASE("control: inputs that do not fit are refused by name") {
  Tape tape(Tape::Mode::trace, kernel_table(), cpu_target());
  const Var p = tape.make({{parameters}}), s = tape.make({}), c = tape.make({{4}}), norm = tape.make({{3}});
  const Var count = tape.make({{}, DType::i32}), larger = tape.make({{parameters + 1}, DType::f16});
  const Var full = tape.make({{8}});
  CHECK_THROWS_WITH_AS(grad_norm(tape, p, s, full, 0), doctest::Contains("grad_norm: control [8]"), Error);
  CHECK_THROWS_WITH_AS(grad_norm(tape, p, p, c, 0), doctest::Contains("grad_norm"), Error);
  CHECK_THROWS_WITH_AS(round_weights(tape, p, larger), doctest::Contains("weights.round"), Error);
  CHECK_THROWS_WITH_AS(round_weights(tape, p, full), doctest::Contains("must be f16 or bf16"), Error);
  CHECK_THROWS_WITH_AS(finish_update(tape, {full, c, count, {}, {}}, {}), doctest::Contains("norm [8]"), Error);
  CHECK_THROWS_WITH_AS(finish_update(tape, {norm, c, s, {}, {}}, {}), doctest::Contains("count of updates"), Error);
  CHECK_THROWS_WITH_AS(finish_update(tape, {norm, c, count, p, full}, {}), doctest::Contains("statistics"), Error);
  CHECK_THROWS_AS(scaled_weight(tape, p, c), Error);
  CHECK_THROWS_AS(report(tape, s, s, c, {}, full), Error);
}
