// Checkpoints: what is restored, what is pruned, and what happens to damaged ones.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "tests/support/network.hpp"
#include "tests/support/temp_folder.hpp"
#include "train/checkpoint.hpp"

using namespace rt;
using namespace rt::testing;
namespace fs = std::filesystem;

namespace {

struct SmallModel : Network {
  ModelInfo info;
  SmallModel() : Network({.arch = "resnet18", .stem = "cifar", .classes = 3, .width = 2}) {
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
  saved.state->slot("momentum").as<float>()[3] = 0.25f;
  saved.state->control_values()[0] = 1024;
  saved.state->updates_done() = 4;
  saved.state->batches_tracked = 17;
  LoopState loop{.step = 5, .epoch = 2, .position = 64, .evaluated = true, .loss_sum = 1.0 / 3, .top1 = 9, .best = 0.5};
  loop.fingerprint = "f";
  loop.data = "d";
  const CheckpointFolder checkpoints(folder.path.string(), 2);
  checkpoints.save(loop, saved.info, *saved.state);
  const auto found = checkpoints.load_newest();
  loaded.state->initialise(2);
  restore(found, *loaded.net, *loaded.state);
  CHECK(std::memcmp(loaded.state->weights().data, saved.state->weights().data, saved.state->weights().spec.bytes()) ==
        0);
  const View momentum = saved.state->slot("momentum");
  CHECK(std::memcmp(loaded.state->slot("momentum").data, momentum.data, momentum.spec.bytes()) == 0);
  CHECK(loaded.state->control_values()[0] == 1024);
  CHECK(loaded.state->updates_done() == 4);
  CHECK(loaded.state->batches_tracked == 17);
  CHECK(found.loop.step == 5);
  CHECK(found.loop.epoch == 2);
  CHECK(found.loop.position == 64);
  CHECK(found.loop.evaluated);
  CHECK(found.loop.loss_sum == 1.0 / 3);
  CHECK(found.loop.best == 0.5);
  CHECK(found.loop.data == "d");
  CHECK(found.info.classes == saved.info.classes);
}

// The newest checkpoint of a folder, with its loop's state and its tensors changed by hand.
CheckpointFolder::Loaded rewritten(const CheckpointFolder& checkpoints,
                                   const std::function<void(nlohmann::json&, std::vector<TensorInfo>&)>& change) {
  const CheckpointFolder::Loaded found = checkpoints.load_newest();
  Metadata metadata = found.file.metadata();
  std::vector<TensorInfo> tensors(found.file.tensors().begin(), found.file.tensors().end());
  nlohmann::json loop = nlohmann::json::parse(metadata.at("rtrain.loop"));
  change(loop, tensors);
  metadata["rtrain.loop"] = loop.dump();
  write_safetensors(found.file.path(), tensors, metadata);
  return checkpoints.load_newest();
}

TEST_CASE("checkpoint: older files, with four numbers of control and no count of updates, or neither, go on") {
  const TempFolder folder;
  SmallModel saved, loaded;
  saved.state->slot("momentum").as<float>()[3] = 0.25f;
  const CheckpointFolder checkpoints(folder.path.string(), 1);
  checkpoints.save({.step = 12}, saved.info, *saved.state);
  auto old = rewritten(checkpoints, [](nlohmann::json& loop, auto&) {
    CHECK(loop.erase("updates") == 1);
    loop["control"] = {2048.0, 7.0, 3.0, 0.0};
  });
  restore(old, *loaded.net, *loaded.state);
  const float* control = loaded.state->control_values();
  CHECK(std::vector<float>(control, control + 4) == std::vector<float>{2048, 7, 3, 0});
  CHECK(loaded.state->updates_done() == 9);  // of 12 steps 3 were skipped
  CHECK(loaded.state->slot("momentum").as<float>()[3] == 0.25f);

  SmallModel fresh;
  old = rewritten(checkpoints, [](nlohmann::json& loop, auto&) { loop.erase("control"); });
  restore(old, *fresh.net, *fresh.state);
  CHECK(fresh.state->control_values()[0] == 1);
  CHECK(fresh.state->updates_done() == 12);

  old = rewritten(checkpoints, [](nlohmann::json& loop, auto&) { loop["control"] = {1.0, 2.0}; });
  CHECK_THROWS_WITH_AS(restore(old, *fresh.net, *fresh.state), doctest::Contains("'rtrain.loop' cannot be read"),
                       Error);
}

TEST_CASE("checkpoint: slots are tensors of their own, and one that is missing or of another size is named") {
  const TempFolder folder;
  SmallModel m;
  const CheckpointFolder checkpoints(folder.path.string(), 1);
  checkpoints.save({.step = 1}, m.info, *m.state);
  const std::string name = "optimizer.momentum.layer1.0.conv1.weight";
  const CheckpointFolder::Loaded found = checkpoints.load_newest();
  REQUIRE(found.file.find(name) != nullptr);
  CHECK(found.file.find(name)->shape == found.file.find("layer1.0.conv1.weight")->shape);
  const auto named = [&](const TensorInfo& t) { return t.name == name; };

  const auto smaller = rewritten(checkpoints, [&](auto&, std::vector<TensorInfo>& tensors) {
    TensorInfo& t = *std::find_if(tensors.begin(), tensors.end(), named);
    t.bytes /= 2;
    t.shape[0] = 1;
  });
  CHECK_THROWS_WITH_AS(restore(smaller, *m.net, *m.state),
                       doctest::Contains((name + "' is F32 [1,2,3,3], this model needs F32 [2,2,3,3]").c_str()), Error);
  const auto missing =
      rewritten(checkpoints, [&](auto&, std::vector<TensorInfo>& tensors) { std::erase_if(tensors, named); });
  CHECK_THROWS_WITH_AS(restore(missing, *m.net, *m.state), doctest::Contains((name + "' is missing").c_str()), Error);
}

TEST_CASE("checkpoint: the newest whole one is loaded, and pruning never costs a good one for a damaged one") {
  const TempFolder folder;
  const SmallModel m;
  const CheckpointFolder checkpoints(folder.path.string(), 1);
  const CheckpointFolder both(folder.path.string(), 2);
  both.save({.step = 100}, m.info, *m.state);
  both.save({.step = 200}, m.info, *m.state);
  damage(step(folder.path, 200));
  CHECK(checkpoints.load_newest().loop.step == 100);
  checkpoints.save({.step = 110}, m.info, *m.state);
  CHECK(checkpoints.load_newest().loop.step == 110);
  CHECK(!fs::exists(step(folder.path, 100)));
  CHECK(fs::exists(step(folder.path, 200) + ".damaged"));

  std::ofstream(step(folder.path, 120) + ".tmp") << "half";
  checkpoints.save({.step = 130}, m.info, *m.state);
  CHECK(!fs::exists(step(folder.path, 120) + ".tmp"));
  damage(step(folder.path, 130));
  CHECK_THROWS_WITH_AS(checkpoints.load_newest(), doctest::Contains("step-000000130"), Error);
}

TEST_CASE("checkpoint: an empty folder says that nothing was saved yet") {
  const TempFolder folder;
  CHECK_THROWS_WITH_AS(CheckpointFolder(folder.path.string(), 1).load_newest(), doctest::Contains("no checkpoint"),
                       Error);
}
