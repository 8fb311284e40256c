// The configuration with which a run goes on.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/check.hpp"
#include "tests/support/config_test.hpp"

using namespace rt;
using namespace rt::testing;

TEST_CASE("config_resume: a resumed run keeps its values and origins, and chooses threads, workers and device again") {
  LoadedConfig loaded = load_config("", {"train.batch=64", "train.epochs=5"});
  Machine machine = two_cores();
  resolve_auto(loaded, {.machine = machine,
                        .data_source = "cifar10",
                        .data_source_reason = "x",
                        .image_size = 32,
                        .train_images = 4000});
  const TempFolder folder;
  const std::string file = folder.write("config.toml", to_toml(loaded));

  LoadedConfig resumed = load_resumed_config(file, {"train.epochs=6", "train.log_every=1", "run.dir=elsewhere"});
  CHECK(resumed.origins.at("threads").automatic);
  CHECK(resumed.origins.at("data.workers").automatic);
  CHECK(resumed.origins.at("device").automatic);
  CHECK(resumed.origins.at("optimizer.lr").text == "auto: 0.1 x min(64 images an update, 256) / 256");
  CHECK(!resumed.origins.at("optimizer.lr").automatic);
  CHECK(resumed.origins.at("train.batch").text == "command line");
  CHECK(resumed.origins.at("train.accumulate").text == "default");
  CHECK(resumed.config.train.epochs == 6);
  machine.threads = {1, "1 of 2 CPUs in the affinity mask"};
  resolve_auto(resumed, {.machine = machine});
  CHECK(resumed.config.threads == 1);
  CHECK(resumed.config.data.workers == 0);
  CHECK(resumed.config.optimizer.lr == loaded.config.optimizer.lr);
  CHECK(load_resumed_config(file, {"threads=3"}).config.threads == 3);

  const auto message = [&](const std::string& setting) -> std::string {
    try {
      load_resumed_config(file, {setting});
    } catch (const Error& e) {
      CHECK(e.code() == ExitCode::usage);
      return e.what();
    }
    return "loaded";
  };
  CHECK(message("optimizer.momentum=0.8") ==
        "command line: optimizer.momentum = 0.8: the run has 0.9 and a run that goes on cannot change it; start a new "
        "run instead");
  CHECK(message("train.epochs=4") ==
        "command line: train.epochs = 4: the run has 5 and a run that goes on can only become longer");
  CHECK(message("train.batch=auto").find("command line: train.batch = ") == 0);
  CHECK(message("train.keep=9") == "loaded");
}

TEST_CASE("config_resume: only what cannot change the result may differ on resume") {
  const auto refused_keys = [](auto change) {
    Config saved, wanted;
    saved.train.steps = wanted.train.steps = 100;
    change(wanted);
    std::vector<std::string> keys;
    for (const RefusedChange& r : refused_on_resume(saved, wanted)) keys.push_back(r.key);
    return keys;
  };
  using Keys = std::vector<std::string>;
  CHECK(refused_keys([](Config&) {}).empty());
  CHECK(refused_keys([](Config& c) {
          c.device = "cpu";
          c.threads = 9;
          c.data.workers = 5;
          c.train.keep = 8;
          c.train.log_every = 3;
          c.run.dir = "x";
          c.train.epochs = 31;
          c.train.steps = 101;
          c.optimize.autotune = false;
        }).empty());
  CHECK(refused_keys([](Config& c) { c.train.steps = 99; }) == Keys{"train.steps"});
  CHECK(refused_keys([](Config& c) { c.train.steps = 0; }) == Keys{"train.steps"});
  CHECK(refused_keys([](Config& c) {
          c.train.epochs = 29;
          c.run.seed = 1;
          c.optimize.fuse = false;
        }) == Keys{"run.seed", "train.epochs", "optimize.fuse"});
  CHECK(refused_keys([](Config& c) { c.optimize.winograd = false; }) == Keys{"optimize.winograd"});
  CHECK(refused_keys([](Config& c) {
          c.precision = "f32";
          c.schedule.milestones = {1};
        }) == Keys{"precision", "schedule.milestones"});
}
