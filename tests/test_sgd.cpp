// SGD as written, on the CPU and on the CUDA rows, fused and as the sequence of steps that it records.
#include "kernels/update/sgd.hpp"
#include "tests/support/threads_guard.hpp"
#include "tests/support/update_model.hpp"

using namespace rt;
using namespace rt::testing;

TEST_CASE("sgd: SGD as written, and the weights to compute with are the first ones, rounded") {
  for (const Way& way : ways()) {
    CAPTURE(name_of(way));
    UpdateModel m(way, {.momentum = 0.9, .nesterov = false, .weight_decay = 0.01}, {}, 8);
    const Numbers w0 = m.weights.get(), g0 = random_numbers(parameters, 100), g1 = random_numbers(parameters, 101);
    m.step(0);
    m.step(1);
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

TEST_CASE("sgd: in one pass or in two it is the sequence of steps, bit for bit, at any thread count") {
  const ThreadsGuard guard;
  struct Settings {
    OptimizerAttrs attrs;
    double clip_norm = 0;
  };
  const Settings all_settings[] = {
      {plain}, {{.nesterov = true}}, {plain, 0.5}, {{.nesterov = true, .weight_decay = 0.01}, 20}};
  for (Device device : devices())
    for (const Settings& settings : all_settings)
      for (const bool half : {false, true}) {
        CAPTURE(std::string(rt::name_of(device)));
        CAPTURE(settings.attrs.nesterov);
        CAPTURE(settings.clip_norm);
        CAPTURE(half);
        const ControlAttrs control{.clip_norm = settings.clip_norm, .dynamic_scale = true, .growth_interval = 2};
        const int64_t count = device == Device::cpu ? 40003 : 4003;  // chunks for both threads
        auto after = [&](const Way& way, int threads) {
          set_threads(threads);
          UpdateModel m(way, settings.attrs, control, 1024, count, count - 1002);
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

TEST_CASE("sgd: buffers that do not fit are refused") {
  UpdateModel m({Device::cpu, true}, plain, {}, 1);
  Tape tape(Tape::Mode::trace, kernel_table(), cpu_target());
  UpdateVars vars = m.vars(tape);
  const Var norm = tape.make({{3}});
  vars.slots["momentum"] = tape.make({{parameters + 1}});
  CHECK_THROWS_WITH_AS(record_sgd(tape, vars, norm, plain), doctest::Contains("momentum [104]"), Error);
  vars.slots = {{"exp_avg", vars.weights}};
  CHECK_THROWS_WITH_AS(record_sgd(tape, vars, norm, plain), doctest::Contains("slot 'momentum'"), Error);
}
