// The loop of a run, on the CPU: how many updates, when it evaluates and saves, and that it goes on where it stopped.
#include <doctest/doctest.h>

#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/error_of.hpp"
#include "tests/support/temp_folder.hpp"
#include "tests/support/threads_guard.hpp"
#include "tests/support/tiny_run.hpp"
#include "train/fingerprint.hpp"
#include "train/run_length.hpp"
#include "train/trainer.hpp"

using namespace rt;
using namespace rt::testing;
namespace fs = std::filesystem;

namespace {

// The steps at which events of a kind were written.
std::vector<int64_t> steps_of(const TempFolder& folder, const std::string& event) {
  std::vector<int64_t> steps;
  std::istringstream lines(folder.read("metrics.jsonl"));
  for (std::string line; std::getline(lines, line);)
    if (const auto json = nlohmann::json::parse(line); json.at("event") == event) steps.push_back(json.at("step"));
  return steps;
}

std::string bytes_of(const ModelState& state) {
  std::string all;
  for (const View& v : {state.weights(), state.slot("momentum"), state.running()})
    all.append(static_cast<const char*>(v.data), v.spec.bytes());
  return all;
}

LoopState newest(const RunFolder& folder) { return CheckpointFolder(folder.checkpoints, 99).load_newest().loop; }

}  // namespace

TEST_CASE("trainer: an epoch has an update for each group of micro-batches, the last one smaller") {
  const ThreadsGuard one(1);
  const TempFolder folder;
  TinyRun run(folder.path.string(), 22, {"train.epochs=2", "train.accumulate=2", "train.drop_last=false"});
  CHECK(run_length(run.session).steps_per_epoch == 3);  // of 4+4, 4+4 and 4+2 images
  CHECK(run_length(run.session).steps == 6);
  Trainer trainer(run.session, run.folder, {});
  CHECK(trainer.run() == 0);
  CHECK(trainer.step() == 6);
  CHECK(steps_of(folder, "train") == std::vector<int64_t>{1, 2, 3, 4, 5, 6});
  CHECK(run.session.state->updates_done() == 6);
  CHECK(run.session.state->batches_tracked == 12);
  const LoopState loop = newest(run.folder);
  CHECK(loop.step == 6);
  CHECK(loop.epoch == 2);
  CHECK(loop.position == 0);
  CHECK(loop.evaluated);
  CHECK(loop.fingerprint == fingerprint(run.session));

  TinyRun dropped(folder / "b", 22, {"train.epochs=2", "train.accumulate=2"});  // 4+4, 4+4 and 4 images
  CHECK(run_length(dropped.session).steps == 6);
  TinyRun by_steps(folder / "c", 22, {"train.steps=4"});
  CHECK(run_length(by_steps.session).steps_per_epoch == 5);
  CHECK(run_length(by_steps.session).steps == 4);
  TinyRun few(folder / "d", 3, {});
  CHECK(error_of([&] { run_length(few.session); }, ExitCode::usage)
            .starts_with("3 training images do not fill one batch of 4"));
}

TEST_CASE("trainer: it evaluates every so many epochs and at the end, and keeps the best and the last model") {
  const ThreadsGuard one(1);
  struct Case {
    std::string every;
    std::vector<int64_t> steps;
  };
  for (const Case& c : {Case{"1", {2, 4, 6}}, Case{"2", {4, 6}}, Case{"0", {6}}}) {
    CAPTURE(c.every);
    const TempFolder folder;
    TinyRun run(folder.path.string(), 8, {"train.epochs=3", "eval.every=" + c.every});
    CHECK(Trainer(run.session, run.folder, {}).run() == 0);
    CHECK(steps_of(folder, "eval") == c.steps);
    CHECK(fs::exists(run.folder.best));
    CHECK(fs::exists(run.folder.last));
  }
  const TempFolder folder;
  // Nothing to evaluate on: the newest model is the best known.
  TinyRun none(folder.path.string(), 8, {"train.epochs=2"});
  none.session.eval_data = nullptr;
  CHECK(Trainer(none.session, none.folder, {}).run() == 0);
  CHECK(steps_of(folder, "eval").empty());
  CHECK(folder.read(fs::path(none.folder.best).filename().string()) ==
        folder.read(fs::path(none.folder.last).filename().string()));
}

TEST_CASE("trainer: continued from any of its checkpoints it ends with the same bytes and the same metrics") {
  const ThreadsGuard one(1);
  const std::vector<std::string> settings = {"train.epochs=2", "train.checkpoint_every=1", "train.keep=99",
                                             "optimizer.momentum=0.9"};
  const TempFolder whole;
  TinyRun unbroken(whole.path.string(), 16, settings);
  CHECK(Trainer(unbroken.session, unbroken.folder, {.data = "checksum"}).run() == 0);
  const std::string want = bytes_of(*unbroken.session.state);
  for (int step = 0; step < 8; ++step) {
    CAPTURE(step);
    const TempFolder folder;
    TinyRun resumed(folder.path.string(), 16, settings);
    resumed.session.state->initialise(2);
    const std::string name = rt::format("/step-{:09}.safetensors", step);
    fs::copy_file(unbroken.folder.checkpoints + name, resumed.folder.checkpoints + name);
    const auto checkpoint = CheckpointFolder(resumed.folder.checkpoints, 99).load_newest();
    CHECK(checkpoint.loop.step == step);
    CHECK(checkpoint.loop.data == "checksum");
    restore(checkpoint, *resumed.session.net, *resumed.session.state);
    CHECK(Trainer(resumed.session, resumed.folder, checkpoint.loop).run() == 0);
    const bool same = bytes_of(*resumed.session.state) == want;
    CHECK(same);
    CHECK(newest(resumed.folder).best == newest(unbroken.folder).best);
    CHECK(steps_of(folder, "train").size() == static_cast<size_t>(8 - step));
  }
}

TEST_CASE("trainer: a loss that is not finite ends the run with its step, its rate and where to go on from") {
  const ThreadsGuard one(1);
  const TempFolder folder;
  TinyRun run(folder.path.string(), 16, {"train.epochs=1", "schedule.name=constant"});
  for (const NamedView& p : run.session.state->parameters())
    if (p.name == "layer2.0.bn1.weight") p.view.as<float>()[0] = std::numeric_limits<float>::max();
  const std::string said = error_of([&] { Trainer(run.session, run.folder, {}).run(); }, ExitCode::diverged);
  CAPTURE(said);
  CHECK(said.find("the loss is not finite at step 1 (epoch 1, learning rate 0.05)") == 0);
  CHECK(said.find("first bad value: ") != std::string::npos);
  CHECK(said.find("layer2.0") != std::string::npos);
  CHECK(said.find(run.folder.checkpoints) != std::string::npos);
  CHECK(newest(run.folder).step == 0);
}
