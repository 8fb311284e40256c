// Loading: what wins over what, how values are written, and what is refused with which sentence.
#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "core/check.hpp"
#include "layers/models.hpp"
#include "tests/support/config_test.hpp"
#include "tests/support/source_folder.hpp"

using namespace rt;
using namespace rt::testing;

namespace {

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  for (size_t at; (at = text.find(what)) != std::string::npos;) text.replace(at, what.size(), with);
  return text;
}

// The sentence with which loading fails, FILE standing for the file's path.
std::string failure(const std::string& toml, const std::vector<std::string>& overrides = {},
                    ExitCode code = ExitCode::usage) {
  const TempFolder folder;
  const std::string file = folder.write("recipe.toml", toml);
  try {
    load_config(file, overrides);
  } catch (const Error& e) {
    CHECK(e.code() == code);
    return replaced(e.what(), file, "FILE");
  }
  return "loaded";
}

std::string refused(const std::string& setting) { return failure("", {setting}); }

}  // namespace

TEST_CASE("config: default gives way to the file, the file to the command line, and origins say so") {
  const TempFolder folder;
  const std::string file = folder.write("my recipe.toml", "[train]\nepochs = 7\n\nbatch = 16\n[optimizer]\nlr = 1\n");
  const LoadedConfig loaded = load_config(file, {"train.batch=8", "data.dir=/d/x y", "train.batch=4"});
  CHECK(loaded.config.train.epochs == 7);
  CHECK(loaded.config.train.batch == 4);
  CHECK(loaded.config.train.accumulate == 1);
  CHECK(loaded.config.optimizer.lr == 1.0);
  CHECK(loaded.config.data.dir == "/d/x y");
  CHECK(loaded.origins.at("train.epochs").text == file + ":2");
  CHECK(loaded.origins.at("optimizer.lr").text == file + ":6");
  CHECK(loaded.origins.at("train.batch").text == "command line");
  CHECK(loaded.origins.at("train.accumulate").text == "default");
  CHECK(loaded.recipe == "my recipe");
  CHECK(load_config("", {}).recipe == "default");
}

TEST_CASE("config: every way to write a key in TOML reaches it") {
  const LoadedConfig loaded = load_text(
      "device = 'cpu'\ntrain.keep = 3\nschedule = { name = \"multistep\", milestones = [1, 2.5] }\n"
      "[loss]\n\"label_smoothing\" = 0\n[optimize]\nfuse = false\n");
  CHECK(loaded.config.device == "cpu");
  CHECK(loaded.config.train.keep == 3);
  CHECK(loaded.config.schedule.milestones == std::vector<double>{1, 2.5});
  CHECK(loaded.config.loss.label_smoothing == 0);
  CHECK(!loaded.config.optimize.fuse);
}

TEST_CASE("config: an override takes text without quotes, and any text where text is wanted") {
  const LoadedConfig loaded =
      load_config("", {"data.dir=2024", "model.weights=a=b#c.\"d\"", "run.dir='quoted'", "device=cpu",
                       "train.batch=auto", "schedule.milestones=[3, 4]", "augment.flip=false", "optimizer.lr=1e-3"});
  CHECK(loaded.config.data.dir == "2024");
  CHECK(loaded.config.model.weights == "a=b#c.\"d\"");
  CHECK(loaded.config.run.dir == "quoted");
  CHECK(loaded.config.schedule.milestones == std::vector<double>{3, 4});
  CHECK(!loaded.config.augment.flip);
  CHECK(loaded.config.optimizer.lr == 1e-3);
  CHECK(loaded.origins.at("train.batch").automatic);
  CHECK(loaded.origins.at("train.batch").text == "command line");
}

TEST_CASE("config: an unknown key is refused with its place and the nearest key") {
  const std::string tail = "? `rtrain config` lists every key";
  CHECK(failure("[train]\n\nbatchs = 3\n") == "FILE:3: unknown key train.batchs; did you mean train.batch" + tail);
  CHECK(failure("[optimiser]\nlr = 3\n") == "FILE:1: unknown key optimiser; did you mean optimizer.lr" + tail);
  CHECK(failure("[train]\nlr = 3\n") == "FILE:2: unknown key train.lr; did you mean optimizer.lr" + tail);
  CHECK(failure("momentun = 3\n") == "FILE:1: unknown key momentun; did you mean optimizer.momentum" + tail);
  CHECK(failure("[[train]]\nbatch = 3\n") ==
        "FILE:1: train is a table, not a value; its keys are train.epochs, train.steps, train.batch, "
        "train.accumulate, train.drop_last, train.clip_norm, train.checkpoint_every, train.keep, train.log_every");
  CHECK(refused("augment.flp=true") == "command line: unknown key augment.flp; did you mean augment.flip" + tail);
  CHECK(refused("x.y.z=1").find("command line: unknown key x.y.z; did you mean ") == 0);
}

TEST_CASE("config: device, precision and threads under a table are sent to the top") {
  CHECK(failure("[train]\nepochs = 1\ndevice = 'cpu'\n") ==
        "FILE:3: unknown key train.device: device belongs to no table; move it above the first table, [train]");
  CHECK(refused("optimize.threads=2") ==
        "command line: unknown key optimize.threads: threads belongs to no table; write threads=2");
}

TEST_CASE("config: pin is on or off, off by default, and may change on resume") {
  CHECK(load_config("", {}).config.pin == "off");
  CHECK(load_text("pin = 'on'\n").config.pin == "on");
  CHECK(refused("pin=2") == "command line: pin = 2: must be on or off");
  CHECK(failure("pin = true\n") == "FILE:1: pin = true: must be on or off");
  CHECK(refused("train.pin=on") == "command line: unknown key train.pin: pin belongs to no table; write pin=on");
  Config saved, wanted;
  wanted.pin = "on";
  CHECK(refused_on_resume(saved, wanted).empty());
}

TEST_CASE("config: a value of the wrong type or out of range is refused with what is allowed") {
  CHECK(failure("[train]\nepochs = 'many'\n") ==
        "FILE:2: train.epochs = \"many\": must be a whole number from 1 to 1000000");
  CHECK(failure("[train]\nepochs = 2.0\n") == "FILE:2: train.epochs = 2.0: must be a whole number from 1 to 1000000");
  CHECK(failure("[train]\nbatch = -3\n") ==
        "FILE:2: train.batch = -3: must be a whole number from 1 to 65536, or auto");
  CHECK(failure("[optimizer]\nmomentum = nan\n") ==
        "FILE:2: optimizer.momentum = nan: must be a number from 0 to 0.9999");
  CHECK(failure("[augment]\nflip = 1\n") == "FILE:2: augment.flip = 1: must be true or false");
  CHECK(failure("[model]\narch = \"resnet19\"\n") ==
        "FILE:2: model.arch = \"resnet19\": must be one of " + joined(architecture_names(), ", "));
  CHECK(failure("[model.arch]\nx = 1\n").find("FILE:1: model.arch = ") == 0);
  CHECK(failure("loss = 3\n") == "FILE:1: loss is a table, not a value; its keys are loss.label_smoothing");
  CHECK(failure("precision = \"fp8\"\n") == "FILE:1: precision = \"fp8\": must be one of f32, bf16, f16, auto");
  CHECK(failure("[schedule]\nmilestones = [1, 'x']\n") ==
        "FILE:2: schedule.milestones = [ 1, 'x' ]: must be a list of numbers from 0 to 1000000");
  CHECK(refused("train.batch=1e3") ==
        "command line: train.batch = 1e3: must be a whole number from 1 to 65536, or auto");
  CHECK(refused("train.batch=9999999999999") ==
        "command line: train.batch = 9999999999999: must be a whole number from 1 to 65536, or auto");
  CHECK(refused("train.batch=") == "command line: train.batch = : must be a whole number from 1 to 65536, or auto");
  CHECK(refused("train.epochs=auto") == "command line: train.epochs = auto: must be a whole number from 1 to 1000000");
  CHECK(refused("augment.flip=yes") == "command line: augment.flip = yes: must be true or false");
  CHECK(refused("train.batch=1\nrun.seed=2").find("command line: train.batch = 1\nrun.seed=2: must be") == 0);
  CHECK(refused("train.batch") == "command line: \"train.batch\" is not key=value");
  CHECK(refused("=3") == "command line: \"=3\" is not key=value");
  CHECK(refused("data.dir=\xff\xfe") == "command line: data.dir is not UTF-8 text");
}

TEST_CASE("config: settings that contradict each other are refused") {
  CHECK(failure("[schedule]\nname = 'multistep'\n") ==
        "FILE:2: schedule.name = \"multistep\" needs schedule.milestones, as [15, 25]");
  CHECK(failure("[schedule]\nmilestones = [3, 3]\n") == "FILE:2: schedule.milestones = [3.0, 3.0] must rise");
  CHECK(refused("optimizer.momentum=0") ==
        "command line: optimizer.momentum = 0 leaves optimizer.nesterov without effect; set it to false");
}

TEST_CASE("config: a file that cannot be read or parsed is refused with its place") {
  CHECK(failure("[train\n").find("FILE:1:") == 0);
  CHECK(failure("a = 1\na = 2\n").find("FILE:2:") == 0);
  CHECK(failure("\n# \xff\n").find("FILE:2:") == 0);
  CHECK(failure(std::string(70000, '#')) == "FILE is larger than 65536 bytes, the limit for such a file");
  const auto message = [](const std::string& path) -> std::string {
    try {
      load_config(path, {});
    } catch (const Error& e) {
      CHECK(e.code() == ExitCode::usage);
      return e.what();
    }
    return "loaded";
  };
  CHECK(message("/no/such.toml") == "cannot read /no/such.toml: there is no such file");
  CHECK(message("/") == "cannot read /: it is not a regular file");
}

TEST_CASE("config: deep nesting is refused before the parser sees it, strings and comments aside") {
  const std::string deep = "keys and values may nest at most 8 deep";
  std::string dotted = "a";
  for (int i = 0; i < 10000; ++i) dotted += ".a";
  CHECK(failure("\n" + dotted + " = 1\n") == "FILE:2: " + deep);
  CHECK(failure("[" + dotted + "]\n") == "FILE:1: " + deep);
  CHECK(failure("x = " + std::string(30000, '[') + "\n") == "FILE:1: " + deep);
  CHECK(failure("x = '''\n'''''\n" + dotted + " = 1\n") == "FILE:3: " + deep);
  CHECK(failure("x = { y = \"\"\"\\\"\"\"\"\", " + dotted + " = 1 }\n") == "FILE:1: " + deep);
  CHECK(refused("train.batch={" + dotted + "=1}").find("must be a whole number") != std::string::npos);
  CHECK(load_text("# " + dotted + "\n[data]\ndir = '" + dotted + "'  # [[[[[[[[[[\n").config.data.dir == dotted);
  CHECK(load_config("", {"data.dir=" + dotted}).config.data.dir == dotted);
}

TEST_CASE("config: the recipes that come with rtrain load") {
  int recipes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(source_folder() / "configs")) {
    const LoadedConfig loaded = load_config(entry.path().string(), {});
    CHECK(loaded.config.model.arch == "resnet18");
    CHECK(loaded.config.train.batch > 0);
    ++recipes;
  }
  CHECK(recipes >= 3);
}
