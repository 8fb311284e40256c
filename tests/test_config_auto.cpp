// What `auto` becomes: from the machine, the data and the device, with the reason.
#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "core/check.hpp"
#include "tests/support/config_test.hpp"

using namespace rt;
using namespace rt::testing;

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

TEST_CASE("config_auto: auto is decided from the machine and the data, with the reason as origin") {
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

TEST_CASE("config_auto: the automatic batch names the limit that binds") {
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

TEST_CASE("config_auto: on a GPU precision, layout, graph and resident data follow the device, with reasons") {
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

TEST_CASE(
    "config_auto: a batch that cannot fit on the GPU is refused with what each size needs and the largest that fits") {
  const std::string what = gpu_failure(61, {"train.batch=4096"}, ExitCode::device);
  CAPTURE(what);
  CHECK(what.find("train.batch = 4096 does not fit into the 8.0 GiB of memory free on the test GPU; the largest that "
                  "fits is 972") != std::string::npos);
  CHECK(what.find("batch  2048: 16.0 GiB") != std::string::npos);
}

TEST_CASE("config_auto: what needs a GPU is refused on the CPU, and left out where a run moves there") {
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

TEST_CASE("config_auto: one CPU leaves no worker, many leave a few; what is given stays") {
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

TEST_CASE("config_auto: what no fact decides stays auto, and is saved as such") {
  LoadedConfig loaded = load_config("", {});
  const Machine machine = two_cores();
  resolve_auto(loaded, {.machine = machine});
  for (const char* key : {"train.batch", "eval.batch", "optimizer.lr", "model.stem", "data.source"})
    CHECK_MESSAGE(loaded.origins.at(key).automatic, key);
  const LoadedConfig again = load_text(to_toml(loaded));
  CHECK(again.origins.at("train.batch").automatic);
  CHECK(!again.origins.at("threads").automatic);
}

TEST_CASE("config_auto: the automatic rate follows the images of an update, warm-up the length of the run") {
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
