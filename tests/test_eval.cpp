// rtrain eval: a run's best model with the run's settings, or a file, and what is said where there is none.
#include <doctest/doctest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/log.hpp"
#include "tests/support/captured_output.hpp"
#include "tests/support/cifar_files.hpp"
#include "tests/support/network.hpp"
#include "tests/support/temp_folder.hpp"
#include "tests/support/threads_guard.hpp"
#include "tools/verbs.hpp"
#include "train/config/config.hpp"
#include "train/files/files.hpp"
#include "train/model_file.hpp"
#include "train/run_folder.hpp"

using namespace rt;
using namespace rt::testing;

namespace {

struct Outcome {
  int code = 0;
  std::string out, log;
};

Outcome eval(std::vector<std::string> words) {
  static const Verb* const verbs[] = {&eval_verb};
  static const Verb program = {.name = "rtrain", .help = "For tests.", .verbs = verbs};
  words.insert(words.begin(), {"rtrain", "eval"});
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  Outcome o;
  o.log = written_to(STDERR_FILENO, [&] {
    o.out =
        written_to(STDOUT_FILENO, [&] { o.code = run_program(program, static_cast<int>(argv.size()), argv.data()); });
  });
  return o;
}

// A run that has been evaluated once, of a fresh model, as it would be on a machine of 64 threads.
struct Run {
  TempFolder folder;
  std::string data = folder / "data", dir = folder / "run", best;

  Run() {
    write_file(folder.path / "data" / "data_batch_1.bin", cifar_records(20, 1));
    write_file(folder.path / "data" / "test_batch.bin", cifar_records(6, 2));
    const RunFolder run = create_run_folder(dir, "x");
    best = run.best;
    LoadedConfig config = load_config("", {"data.dir=" + data, "device=cpu", "precision=f32", "model.stem=cifar",
                                           "eval.batch=4", "data.val_fraction=0.5", "threads=64", "data.workers=0"});
    config.origins["threads"].text = "auto: 64 physical cores";
    atomic_write(run.config, to_toml(config));
  }
  // An existing file at the best model's place.
  void save_best() const {
    const Network model({.arch = "resnet18", .stem = "cifar", .classes = 10});
    ModelInfo info{.net = model.net->config(), .has_normalisation = true, .height = 32, .width = 32};
    save_model(best, info, *model.state);
  }
};

}  // namespace

TEST_CASE("eval: of a run it is the best model, on the images that the run's settings hold out") {
  const ThreadsGuard guard;
  const Run run;
  const Outcome none = eval({run.dir});
  CHECK(none.code == static_cast<int>(ExitCode::data));
  CHECK(none.log.find(run.best + ": no model yet; it appears after the first evaluation") != std::string::npos);
  CHECK(none.out.empty());

  run.save_best();
  const Outcome held_out = eval({run.dir, "--json"});
  REQUIRE(held_out.code == 0);
  const auto numbers = nlohmann::json::parse(held_out.out);
  CHECK(numbers.at("images") == 10);  // half of 20
  CHECK(numbers.at("loss") > 0);
  CHECK(threads_in_use() == static_cast<int>(machine().threads.value));  // not the 64 of the machine that trained
  const Outcome with_setting = eval({run.dir, "data.val_fraction=0"});
  REQUIRE(with_setting.code == 0);
  CHECK(with_setting.out.starts_with(run.best + ": 6 images, loss "));
  CHECK(with_setting.out.find(" %, top-5 ") != std::string::npos);

  // The same model as a file has no run's settings, and the same numbers with these.
  CHECK(eval({run.best, "data.dir=" + run.data, "device=cpu", "precision=f32", "eval.batch=4"}).out ==
        with_setting.out);
}

TEST_CASE("eval: what is no run and no model is refused with its name") {
  const ThreadsGuard guard;
  const TempFolder folder;
  const Outcome absent = eval({folder / "none"});
  CHECK(absent.code == static_cast<int>(ExitCode::usage));
  CHECK(absent.log.find((folder / "none") + ": there is no such run folder or model file") != std::string::npos);
  const Outcome no_run = eval({folder.path.string()});
  CHECK(no_run.code == static_cast<int>(ExitCode::usage));
  CHECK(no_run.log.find("is not the folder of a run") != std::string::npos);
  const std::string words = folder.write("words.safetensors", "words");
  const Outcome no_model = eval({words});
  CHECK(no_model.code == static_cast<int>(ExitCode::data));
  CHECK(no_model.log.find("words.safetensors") != std::string::npos);
}
