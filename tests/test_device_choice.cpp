// From a device's name to a device, on the emulated one.
#include <doctest/doctest.h>

#include "core/cuda.hpp"
#include "core/log.hpp"
#include "emulation/emulation.hpp"
#include "kernels/conv2d/conv2d.hpp"
#include "kernels/pool/pool.hpp"
#include "kernels/table.hpp"
#include "tests/support/error_of.hpp"
#include "tests/support/temp_folder.hpp"
#include "train/config/config.hpp"
#include "train/config/device_choice.hpp"

using namespace rt;
using namespace rt::testing;

namespace {

std::string refusal(const std::string& device, ExitCode code) {
  return error_of([&] { choose_device(device, "command line"); }, code);
}

struct Card {  // of another capability, for as long as this lives
  explicit Card(int capability) { emulation::set_profile({.capability = capability}); }
  ~Card() { emulation::set_profile({}); }
};

}  // namespace

TEST_CASE("device_choice: its names") {
  for (const char* name : {"auto", "cpu", "cuda", "cuda:0", "cuda:12"}) CHECK(is_device_name(name));
  for (const char* name : {"", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:1x", "cuda:99999999999", "cuda 0"}) {
    CAPTURE(std::string(name));
    CHECK(!is_device_name(name));
  }
}

TEST_CASE("device_choice: what was asked for is chosen, or refused with a word") {
  CHECK(choose_device("cpu", "").device == Device::cpu);
  CHECK(choose_device("cpu", "").reason == "asked for");
  for (const char* name : {"auto", "cuda", "cuda:0"}) {
    const DeviceChoice choice = choose_device(name, "");
    CHECK(choice.device == Device::cuda);
    CHECK(choice.name == "cuda:0");
    CHECK(choice.reason == "emulated device of compute capability 9.0");
    CHECK(choice.target.capability == 90);
    CHECK(choice.memory.value > 0);
  }
  CHECK(refusal("cuda:1", ExitCode::device) ==
        "command line: device = \"cuda:1\": there is only 1 CUDA device, counted from 0");
  CHECK(refusal("gpu", ExitCode::usage).find("\"gpu\" must be cpu, cuda, cuda:N or auto") != std::string::npos);
}

TEST_CASE("device_choice: f16 on a card without tensor cores is storage, and the user is told") {
  const Card card(61);
  const TempFolder folder;
  log_to_file(folder / "log.txt");
  LoadedConfig loaded = load_config("", {"precision=f16"});
  resolve_auto(loaded, {.machine = machine(), .device = choose_device("cuda", "")});
  log_to_file("");
  CHECK(folder.read("log.txt").find("storage only here: arithmetic stays f32") != std::string::npos);
}

TEST_CASE("device_choice: on CUDA values of 2^31 elements are refused, with the batch that fits") {
  cuda::use(0);
  Tape tape(Tape::Mode::trace, kernel_table(), cuda_target());
  const Var x = tape.make({{40000, 64, 32, 32}, DType::f16, Layout::nhwc}),
            w = tape.make({{64, 64, 3, 3}, DType::f16, Layout::nhwc});
  conv2d(tape, x, w, {.stride = 1, .pad = 1});
  max_pool(tape, x, {});
  auto select = [&](const Step& step) {
    std::vector<Spec> in, out;
    for (Var v : step.in) in.push_back(tape.spec(v));
    for (Var v : step.out) out.push_back(tape.spec(v));
    return explain_row(kernel_table(), cuda_target(), {.kind = step.kind, .ops = step.ops, .in = in, .out = out});
  };
  CHECK_THROWS_WITH_AS(select(tape.steps()[0]), doctest::Contains("the largest batch that fits here is 32767"), Error);
  CHECK(select(tape.steps()[1]) == "cuda.via_cpu");  // with a warning that lists the refusal
}
