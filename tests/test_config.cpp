#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "core/check.hpp"
#include "tests/source_folder.hpp"
#include "tests/temp_folder.hpp"
#include "train/config/config.hpp"
#include "train/config/config_keys.hpp"

using namespace rt;

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

LoadedConfig load_text(const std::string& toml, const std::vector<std::string>& overrides = {}) {
  const TempFolder folder;
  return load_config(folder.write("recipe.toml", toml), overrides);
}

Machine two_cores() {
  Machine m{};
  m.threads = {2, "2 physical cores"};
  m.usable_memory_bytes = {int64_t{4} << 30, "4.0 GiB of memory available"};
  return m;
}

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
        "FILE:2: model.arch = \"resnet19\": must be one of resnet18, resnet34, resnet50");
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

TEST_CASE("config: auto is decided from the machine and the data, with the reason as origin") {
  LoadedConfig loaded = load_config("", {});
  CHECK(loaded.config.train.batch == 0);
  const Machine machine = two_cores();
  resolve_auto(loaded, {.machine = machine,
                        .data_source = "cifar10",
                        .data_source_reason = "data_batch_1.bin in d",
                        .image_size = 32,
                        .train_images = 50000,
                        .plan_bytes = [](int batch) { return int64_t{batch} << 20; }});
  const Config& c = loaded.config;
  const auto origin = [&](const char* key) { return loaded.origins.at(key).text; };
  CHECK(c.device == "cpu");
  CHECK(origin("device") == "auto: asked for");
  CHECK(c.precision == "f32");
  CHECK(c.threads == 2);
  CHECK(origin("threads") == "auto: 2 physical cores");
  CHECK(c.data.workers == 1);
  CHECK(origin("data.workers") == "auto: few beside 2 kernel threads");
  CHECK(c.data.source == "cifar10");
  CHECK(origin("data.source") == "auto: data_batch_1.bin in d");
  CHECK(c.model.stem == "cifar");
  CHECK(origin("model.stem") == "auto: images of 32 px, cifar up to 64 px");
  CHECK(c.train.batch == 128);
  CHECK(origin("train.batch") ==
        "auto: the preferred size; its plan (128 MiB) fits 70 % of the 4.0 GiB of memory available");
  CHECK(c.eval.batch == 128);
  CHECK(c.optimizer.lr == doctest::Approx(0.05));
  CHECK(origin("optimizer.lr") == "auto: 0.1 x min(128 images an update, 256) / 256");
  CHECK(c.schedule.warmup_epochs == 1.0);
  CHECK(origin("schedule.warmup_epochs") == "auto: 10 % of 30 epochs, at most 1");
  for (const auto& entry : loaded.origins) CHECK_MESSAGE(!entry.second.automatic, entry.first);
}

TEST_CASE("config: the automatic batch names the limit that binds") {
  const auto batch = [](double gib, const std::string& reason, int64_t images) {
    Machine machine = two_cores();
    machine.usable_memory_bytes = {static_cast<int64_t>(gib * (1 << 30)), reason};
    LoadedConfig loaded = load_config("", {});
    resolve_auto(loaded, {.machine = machine, .image_size = 224, .train_images = images, .plan_bytes = [](int b) {
                            return (int64_t{b} * 10 + 300) << 20;
                          }});
    CHECK(loaded.config.model.stem == "imagenet");
    return std::pair(loaded.config.train.batch, loaded.origins.at("train.batch").text);
  };
  CHECK(batch(1, "cgroup memory limit 1.0 GiB", 50000) ==
        std::pair(32, std::string("auto: largest whose plan (620 MiB; 940 MiB for 64 images) fits 70 % of the cgroup "
                                  "memory limit 1.0 GiB")));
  CHECK(batch(4, "4.0 GiB of memory available", 200) ==
        std::pair(16, std::string("auto: largest power of two up to 1/8 of 200 training images")));
  CHECK(batch(4, "4.0 GiB of memory available", 3).first == 1);
  try {
    batch(0.25, "address-space limit 0.2 GiB (ulimit -v)", 50000);
    CHECK(false);
  } catch (const Error& e) {
    CHECK(e.code() == ExitCode::device);
    CHECK(std::string(e.what()).find("a single image takes 310 MiB, and 70 % of the address-space limit 0.2 GiB") !=
          std::string::npos);
  }
}

namespace {

DeviceChoice some_gpu(int capability, int64_t memory = int64_t{8} << 30) {
  return {Device::cuda,
          "cuda:0",
          "a test GPU",
          {Device::cuda, capability},
          {memory, "8.0 GiB of memory free on the test GPU"}};
}
LoadedConfig on_gpu(int capability, const std::vector<std::string>& overrides, int64_t data_bytes = 1 << 20) {
  const Machine machine = two_cores();
  LoadedConfig loaded = load_config("", overrides);
  resolve_auto(loaded, {.machine = machine,
                        .device = some_gpu(capability),
                        .image_size = 32,
                        .train_images = 50000,
                        .plan_bytes = [](int b) { return int64_t{b} << 23; },
                        .data_bytes = data_bytes});
  return loaded;
}
std::string gpu_failure(int capability, const std::vector<std::string>& overrides, ExitCode code) {
  try {
    on_gpu(capability, overrides);
  } catch (const Error& e) {
    CHECK(e.code() == code);
    return e.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("config: on a GPU precision, layout, graph and resident data follow the device, with reasons") {
  const LoadedConfig pascal = on_gpu(61, {}), volta = on_gpu(70, {}), hopper = on_gpu(90, {});
  CHECK(pascal.config.precision == "f32");
  CHECK(pascal.origins.at("precision").text.find("64th of the rate") != std::string::npos);
  CHECK(volta.config.precision == "f16");
  CHECK(hopper.config.precision == "bf16");
  CHECK(hopper.config.device == "cuda:0");
  CHECK(hopper.config.optimize.graph);
  CHECK(hopper.config.optimize.recompute == "none");
  CHECK(hopper.config.optimize.resident);
  CHECK(!on_gpu(90, {}, int64_t{7} << 30).config.optimize.resident);
  CHECK(!on_gpu(90, {"optimize.graph=false"}).config.optimize.graph);
  CHECK(on_gpu(61, {"precision=f16"}).config.precision == "f16");
  CHECK(
      gpu_failure(75, {"precision=bf16"}, ExitCode::usage).find("needs compute capability 8.0, this device has 7.5") !=
      std::string::npos);
}

TEST_CASE("config: a batch that cannot fit on the GPU is refused with what each size needs and the largest that fits") {
  const std::string what = gpu_failure(61, {"train.batch=4096"}, ExitCode::device);
  CAPTURE(what);
  CHECK(what.find("train.batch = 4096 does not fit into the 8.0 GiB of memory free on the test GPU; the largest that "
                  "fits is 972") != std::string::npos);
  CHECK(what.find("batch  2048: 16.0 GiB") != std::string::npos);
}

TEST_CASE("config: what needs a GPU is refused on the CPU, and left out where a run moves there") {
  const auto resolved = [](const std::vector<std::string>& overrides) {
    const Machine machine = two_cores();
    LoadedConfig loaded = load_config("", overrides);
    resolve_auto(loaded, {.machine = machine});
    return loaded;
  };
  CHECK_THROWS_WITH(resolved({"optimize.graph=true"}),
                    "command line: optimize.graph = true applies to device = \"cuda\" only; leave it out");
  CHECK_THROWS_WITH(
      resolved({"precision=f16"}),
      "command line: precision = \"f16\" needs device=cuda: the CPU stores f32 or bf16, and computes in f32");
  CHECK(resolved({"precision=bf16"}).config.precision == "bf16");
  CHECK(resolved({}).config.precision == "f32");
  CHECK(!resolved({}).config.optimize.graph);
  CHECK(resolved({}).config.optimize.recompute == "cheap");
  CHECK(resolved({"optimize.recompute=none"}).config.optimize.recompute == "none");
}

TEST_CASE("config: one CPU leaves no worker, many leave a few; what is given stays") {
  const auto workers = [](Count threads, const std::vector<std::string>& overrides) {
    Machine machine = two_cores();
    machine.threads = threads;
    LoadedConfig loaded = load_config("", overrides);
    resolve_auto(loaded, {.machine = machine});
    return std::pair(loaded.config.data.workers, loaded.origins.at("data.workers").text);
  };
  CHECK(workers({1, "1 of 2 CPUs in the affinity mask"}, {}) ==
        std::pair(0, std::string("auto: one CPU to work on: 1 of 2 CPUs in the affinity mask")));
  CHECK(workers({64, "64 physical cores"}, {}).first == 4);
  CHECK(workers({64, "64 physical cores"}, {"threads=1"}) ==
        std::pair(1, std::string("auto: few beside 1 kernel thread")));
  CHECK(workers({1, "one"}, {"data.workers=3"}) == std::pair(3, std::string("command line")));
}

TEST_CASE("config: what no fact decides stays auto, and is saved as such") {
  LoadedConfig loaded = load_config("", {});
  const Machine machine = two_cores();
  resolve_auto(loaded, {.machine = machine});
  for (const char* key : {"train.batch", "eval.batch", "optimizer.lr", "model.stem", "data.source"})
    CHECK_MESSAGE(loaded.origins.at(key).automatic, key);
  const LoadedConfig again = load_text(to_toml(loaded));
  CHECK(again.origins.at("train.batch").automatic);
  CHECK(!again.origins.at("threads").automatic);
}

TEST_CASE("config: the automatic rate follows the images of an update, warm-up the length of the run") {
  const auto resolved = [](const std::vector<std::string>& overrides, int64_t images = 4000) {
    const Machine machine = two_cores();
    LoadedConfig loaded = load_config("", overrides);
    resolve_auto(loaded, {.machine = machine, .image_size = 32, .train_images = images});
    return loaded;
  };
  CHECK(resolved({"train.batch=32"}).config.optimizer.lr == doctest::Approx(0.0125));
  CHECK(resolved({"train.batch=32", "train.accumulate=4"}).config.optimizer.lr == doctest::Approx(0.05));
  CHECK(resolved({"train.batch=512"}).config.optimizer.lr == doctest::Approx(0.1));
  CHECK(resolved({"train.batch=40", "train.epochs=3"}).config.schedule.warmup_epochs == doctest::Approx(0.3));
  CHECK(resolved({"train.batch=40", "train.steps=50"}).config.schedule.warmup_epochs == doctest::Approx(0.05));
  CHECK(resolved({"train.batch=40", "train.steps=50"}, 0).origins.at("schedule.warmup_epochs").automatic);
  const LoadedConfig cycle = resolved({"train.batch=40", "schedule.name=onecycle"});
  CHECK(cycle.config.schedule.warmup_epochs == 0);
  CHECK(cycle.origins.at("schedule.warmup_epochs").text == "auto: one-cycle rises by itself");
}

TEST_CASE("config: what to_toml writes reads back as the same values, with the origins as comments") {
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

TEST_CASE("config: a resumed run keeps its values and origins, and chooses threads, workers and device again") {
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

TEST_CASE("config: only what cannot change the result may differ on resume") {
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
          c.device = "cpu", c.threads = 9, c.data.workers = 5, c.train.keep = 8, c.train.log_every = 3, c.run.dir = "x";
          c.train.epochs = 31, c.train.steps = 101, c.optimize.autotune = false;
        }).empty());
  CHECK(refused_keys([](Config& c) { c.train.steps = 99; }) == Keys{"train.steps"});
  CHECK(refused_keys([](Config& c) { c.train.steps = 0; }) == Keys{"train.steps"});
  CHECK(refused_keys([](Config& c) { c.train.epochs = 29, c.run.seed = 1, c.optimize.fuse = false; }) ==
        Keys{"run.seed", "train.epochs", "optimize.fuse"});
  CHECK(refused_keys([](Config& c) { c.optimize.winograd = false; }) == Keys{"optimize.winograd"});
  CHECK(refused_keys([](Config& c) { c.precision = "f32", c.schedule.milestones = {1}; }) ==
        Keys{"precision", "schedule.milestones"});
}

TEST_CASE("config: the table shows every key with its value and its origin or help") {
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
