// A configuration as text.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/support/config_test.hpp"
#include "train/config/config_keys.hpp"

using namespace rt;
using namespace rt::testing;

TEST_CASE("config_write: what to_toml writes reads back as the same values, with the origins as comments") {
  LoadedConfig loaded =
      load_config("", {"data.dir=quote \" back \\ tab \t Zürich  # no comment", "optimizer.lr=0.1",
                       "schedule.name=multistep", "schedule.milestones=[1, 2.5, 1e5]", "train.batch=128",
                       "loss.label_smoothing=0.30000000000000004", "run.seed=1000000000000000"});
  const Machine machine = two_cores();
  resolve_auto(loaded, {.machine = machine,
                        .data_source = "cifar100",
                        .data_source_reason = "train.bin\nin x",
                        .image_size = 32,
                        .train_images = 4000});
  const std::string text = to_toml(loaded);
  const LoadedConfig again = load_text(text);
  for (const Key& key : config_keys()) CHECK(value_text(again.config, key) == value_text(loaded.config, key));
  CHECK(text.find("\nthreads = 2  # auto: 2 physical cores\n") != std::string::npos);
  CHECK(text.find("\nlr = 0.1  # command line\n") != std::string::npos);
  CHECK(text.find("source = \"cifar100\"  # auto: train.bin?in x\n") != std::string::npos);
  CHECK(text.find("momentum = 0.9  # default\n") != std::string::npos);
}

TEST_CASE("config_write: the table shows every key with its value and its origin or help") {
  const LoadedConfig loaded = load_config("", {"train.batch=8"});
  const std::string origins = config_table(loaded, true), help = config_table(loaded, false);
  for (const Key& key : config_keys()) {
    CHECK(origins.find(std::string(key.name) + " ") != std::string::npos);
    CHECK(help.find(key.help) != std::string::npos);
  }
  const size_t at = origins.find("train.batch ");
  const std::string line = origins.substr(at, origins.find('\n', at) - at);
  CHECK(line.find(" 8 ") != std::string::npos);
  CHECK(line.find("command line") != std::string::npos);
  CHECK(help.find("images per micro-batch (a whole number from 1 to 65536, or auto)") != std::string::npos);
}
