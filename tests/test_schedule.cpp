#include <doctest/doctest.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "core/check.hpp"
#include "train/schedule.hpp"

using namespace rt;

namespace {

Config::Schedule named(const char* name, double warmup_epochs) {
  Config::Schedule config;
  config.name = name;
  config.warmup_epochs = warmup_epochs;
  return config;
}

// 20 steps, 2 an epoch, peak 0.4; `recorded` by PyTorch 2.15.
void matches(const Config::Schedule& config, const std::vector<double>& recorded) {
  const Schedule schedule(config, 0.4, 2, 20);
  for (size_t step = 0; step < recorded.size(); ++step) {
    CAPTURE(step);
    CHECK(schedule.lr(static_cast<int64_t>(step)) == doctest::Approx(recorded[step]).epsilon(1e-12));
  }
}

}  // namespace

TEST_CASE("schedule: constant with warm-up is PyTorch's LinearLR(1/5, 1, 4)") {
  matches(named("constant", 2), {0.08, 0.16, 0.24, 0.32, 0.4, 0.4, 0.4, 0.4});
}

TEST_CASE("schedule: step is PyTorch's StepLR(6, 0.5) under LinearLR") {
  Config::Schedule config = named("step", 2);
  config.step_epochs = 3;
  config.gamma = 0.5;
  matches(config,
          {0.08, 0.16, 0.24, 0.32, 0.4, 0.4, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05});
}

TEST_CASE("schedule: multistep is PyTorch's MultiStepLR([5, 12], 0.1) under LinearLR, and min_lr is its floor") {
  Config::Schedule config = named("multistep", 2);
  config.milestones = {2.5, 6};
  matches(config, {0.08, 0.16, 0.24,  0.32,  0.4,   0.04,  0.04,  0.04,  0.04,  0.04,
                   0.04, 0.04, 0.004, 0.004, 0.004, 0.004, 0.004, 0.004, 0.004, 0.004});
  config.min_lr = 0.01;
  CHECK(Schedule(config, 0.4, 2, 20).lr(12) == 0.01);
}

TEST_CASE("schedule: a milestone inside warm-up cuts there, as chained schedulers do") {
  Config::Schedule config = named("multistep", 2);
  config.milestones = {1};
  const Schedule schedule(config, 0.4, 2, 20);
  CHECK(schedule.lr(1) == doctest::Approx(0.16));
  CHECK(schedule.lr(2) == doctest::Approx(0.024));
  CHECK(schedule.lr(10) == doctest::Approx(0.04));
}

TEST_CASE("schedule: cosine is PyTorch's LinearLR, then CosineAnnealingLR(16, 0.01)") {
  Config::Schedule config = named("cosine", 2);
  config.min_lr = 0.01;
  matches(config,
          {0.08000000000000002, 0.16000000000000003, 0.24000000000000005, 0.32000000000000006, 0.4,
           0.39625312967862997, 0.385156508839701,   0.36713657439899644, 0.3428858223313768,  0.31333619543882246,
           0.2796232693111926,  0.2430426127931451,  0.20500000000000004, 0.16695738720685505, 0.13037673068880754,
           0.09666380456117764, 0.06711417766862325, 0.04286342560100366, 0.02484349116029909, 0.013746870321370067});
}

TEST_CASE("schedule: cosine follows its formula and stays at the minimum after the last step") {
  Config::Schedule config = named("cosine", 0);
  config.min_lr = 0.02;
  const Schedule schedule(config, 0.1, 7, 70);
  for (int t : {0, 1, 35, 69, 70})
    CHECK(schedule.lr(t) ==
          doctest::Approx(0.02 + 0.08 * (1 + std::cos(std::numbers::pi * t / 70)) / 2).epsilon(1e-14));
  CHECK(schedule.lr(0) == 0.1);
  CHECK(schedule.lr(71) == doctest::Approx(0.02));
}

TEST_CASE("schedule: polynomial is PyTorch's LinearLR, then PolynomialLR(16, 2)") {
  Config::Schedule config = named("polynomial", 2);
  config.power = 2;
  matches(config, {0.08,    0.16,      0.24, 0.32,      0.4,     0.3515625, 0.30625, 0.2640625, 0.225,   0.189062500,
                   0.15625, 0.1265625, 0.1,  0.0765625, 0.05625, 0.0390625, 0.025,   0.0140625, 0.00625, 0.0015625});
  config.min_lr = 0.1;
  CHECK(Schedule(config, 0.4, 2, 20).lr(12) == doctest::Approx(0.1 + 0.3 * 0.25));
}

TEST_CASE("schedule: onecycle is PyTorch's OneCycleLR with its default settings") {
  matches(named("onecycle", 0), {0.016000000000000014,
                                 0.05266873708001013,
                                 0.1486687370800101,
                                 0.2673312629199899,
                                 0.3633312629199899,
                                 0.4,
                                 0.39498560249403497,
                                 0.38019385280538953,
                                 0.35636647102842,
                                 0.3246982615799052,
                                 0.28677720071652035,
                                 0.24450480877451572,
                                 0.2000008,
                                 0.1554967912254843,
                                 0.11322439928347969,
                                 0.0753033384200948,
                                 0.04363512897158001,
                                 0.019807747194610516,
                                 0.005015997505965022,
                                 1.6e-06});
}

TEST_CASE("schedule: onecycle is finite for every length and share") {
  Config::Schedule config = named("onecycle", 0);
  for (int64_t steps = 1; steps < 8; ++steps)
    for (double share : {0.0, 0.3, 0.5, 0.99}) {
      config.pct_start = share;
      const Schedule schedule(config, 0.4, 1, steps);
      for (int64_t step = 0; step <= steps; ++step) {
        CHECK(schedule.lr(step) > 0);
        CHECK(schedule.lr(step) <= 0.4);
      }
    }
}

TEST_CASE("schedule: warm-up as long as the run and a minimum above the peak are refused") {
  const auto message = [](const Config::Schedule& config) -> std::string {
    try {
      Schedule(config, 0.1, 10, 30);
    } catch (const Error& e) {
      CHECK(e.code() == ExitCode::usage);
      return e.what();
    }
    return "";
  };
  CHECK(message(named("cosine", 3)) ==
        "schedule.warmup_epochs = 3 is 30 steps, but the whole run has 30; make it shorter or leave it auto");
  CHECK(message(named("cosine", 2.9)) == "");
  Config::Schedule config = named("cosine", 0);
  config.min_lr = 0.2;
  CHECK(message(config) == "schedule.min_lr = 0.2 is above optimizer.lr = 0.1");
}
