// Checkpoints: what is restored, what is pruned, and what happens to damaged ones.
#include <doctest/doctest.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "layers/models.hpp"
#include "temp_folder.hpp"
#include "train/checkpoint.hpp"

using namespace rt;
namespace fs = std::filesystem;

namespace {

struct SmallModel {
  std::unique_ptr<Model> net = make_model({"resnet18", "cifar", 3, 3, 2});
  ModelState state{*net};
  ModelInfo info;
  SmallModel() {
    state.initialise(1);
    info.net = net->config();
    info.classes = {"a", "b", "c"};
    info.height = info.width = 32;
  }
};

void damage(const std::string& path) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(fs::file_size(path)) - 5);
  file.put('\x55');
}

std::string step(const fs::path& folder, int n) { return rt::format("{}/step-{:09}.safetensors", folder.string(), n); }

}  // namespace

TEST_CASE("checkpoint: weights, momentum, counters and loop state come back") {
  const TempFolder folder;
  SmallModel saved, loaded;
  saved.state.momentum().as<float>()[3] = 0.25f;
  saved.state.batches_tracked = 17;
  LoopState loop{.step = 5, .epoch = 2, .position = 64, .evaluated = true, .loss_sum = 1.0 / 3, .top1 = 9, .best = 0.5};
  loop.fingerprint = "f", loop.data = "d";
  const CheckpointFolder checkpoints(folder.path.string(), 2);
  checkpoints.save(loop, saved.info, saved.state);
  const auto found = checkpoints.load_newest();
  loaded.state.initialise(2);
  restore(found, *loaded.net, loaded.state);
  CHECK(std::memcmp(loaded.state.weights().data, saved.state.weights().data, saved.state.weights().spec.bytes()) == 0);
  CHECK(std::memcmp(loaded.state.momentum().data, saved.state.momentum().data, saved.state.momentum().spec.bytes()) ==
        0);
  CHECK(loaded.state.batches_tracked == 17);
  CHECK(found.loop.step == 5);
  CHECK(found.loop.epoch == 2);
  CHECK(found.loop.position == 64);
  CHECK(found.loop.evaluated);
  CHECK(found.loop.loss_sum == 1.0 / 3);
  CHECK(found.loop.best == 0.5);
  CHECK(found.loop.data == "d");
  CHECK(found.info.classes == saved.info.classes);
}

TEST_CASE("checkpoint: the newest whole one is loaded, and pruning never costs a good one for a damaged one") {
  const TempFolder folder;
  const SmallModel m;
  const CheckpointFolder checkpoints(folder.path.string(), 1);
  const CheckpointFolder both(folder.path.string(), 2);
  both.save({.step = 100}, m.info, m.state);
  both.save({.step = 200}, m.info, m.state);
  damage(step(folder.path, 200));
  CHECK(checkpoints.load_newest().loop.step == 100);
  checkpoints.save({.step = 110}, m.info, m.state);
  CHECK(checkpoints.load_newest().loop.step == 110);
  CHECK(!fs::exists(step(folder.path, 100)));
  CHECK(fs::exists(step(folder.path, 200) + ".damaged"));

  std::ofstream(step(folder.path, 120) + ".tmp") << "half";
  checkpoints.save({.step = 130}, m.info, m.state);
  CHECK(!fs::exists(step(folder.path, 120) + ".tmp"));
  damage(step(folder.path, 130));
  CHECK_THROWS_WITH_AS(checkpoints.load_newest(), doctest::Contains("step-000000130"), Error);
}

TEST_CASE("checkpoint: an empty folder says that nothing was saved yet") {
  const TempFolder folder;
  CHECK_THROWS_WITH_AS(CheckpointFolder(folder.path.string(), 1).load_newest(), doctest::Contains("no checkpoint"),
                       Error);
}
