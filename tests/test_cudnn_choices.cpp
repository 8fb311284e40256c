// Which of cuDNN's algorithms is chosen, remembered and planned for, on the emulated library with costs that the test
// sets.
#include <doctest/doctest.h>

#include "core/log.hpp"
#include "emulation/emulation.hpp"
#include "emulation/libraries.hpp"
#include "tests/support/cudnn_convolution.hpp"
#include "tests/support/temp_folder.hpp"

using namespace rt;
using namespace rt::testing;

TEST_CASE("cudnn_choices: the fastest admitted algorithm is timed once and kept") {
  const CudnnConvolution s;
  CHECK(s.chosen().id == 1);  // 2 would be faster, and is not deterministic
  const int timings = emulation::timings();
  CHECK(timings == 2 * 4);
  emulation::set_cost(0, 0.1);
  CHECK(s.chosen().id == 1);
  CHECK(emulation::timings() == timings);
}

TEST_CASE("cudnn_choices: an algorithm far slower than the best runs a few times, one of microseconds often") {
  const CudnnConvolution s;
  constexpr int once = 1 + 2, ten_times = 1 + 2 * 10;
  emulation::set_cost(0, 500);  // the favourite: the first that is timed
  emulation::set_cost(1, 0.01);
  CHECK(s.chosen().id == 1);
  CHECK(emulation::runs(0) == once);
  CHECK(emulation::runs(1) == once + 3 * ten_times);

  cudnn::configure({});
  emulation::reset_cudnn();
  // one of milliseconds is no slower to time than it must be
  emulation::set_cost(0, 3);
  emulation::set_cost(1, 6.3);
  CHECK(s.chosen().id == 0);
  CHECK(emulation::runs(0) == 4 * once);
  CHECK(emulation::runs(1) == once);

  cudnn::configure({});
  emulation::reset_cudnn();
  // a single run of so little says little
  emulation::set_cost(0, 0.2);
  emulation::set_cost(1, 0.01);
  CHECK(s.chosen().id == 1);
  CHECK(emulation::runs(0) > once);
}

TEST_CASE("cudnn_choices: without determinism every algorithm is admitted") {
  const CudnnConvolution s;
  cudnn::configure({.deterministic = false, .cache_file = "", .run_file = ""});
  CHECK(s.planned() == 2 * y_bytes);
  CHECK(s.chosen().id == 2);
}

TEST_CASE("cudnn_choices: workspaces are planned for the largest admitted algorithm, below the cap") {
  const CudnnConvolution s;
  CHECK(s.planned() == y_bytes);
  emulation::set_cost(0, 0.1);
  CHECK(s.chosen().id == 0);
  CHECK(s.planned() == y_bytes);  // the same before and after, so that a plan made earlier stays right

  cudnn::configure({});
  emulation::set_workspace(1, (size_t{128} << 20) + 1);  // a 32nd of 4 GiB and one byte
  emulation::set_cost(0, 3);
  CHECK(s.planned() == 0);
  CHECK(s.chosen().id == 0);

  cudnn::configure({});
  emulation::set_profile({.capability = 61, .total_bytes = size_t{1} << 30});  // 64 MiB is the least
  emulation::set_workspace(1, size_t{64} << 20);
  CHECK(s.planned() == size_t{64} << 20);
  emulation::set_workspace(1, (size_t{64} << 20) + 1);
  CHECK(s.planned() == 0);
  emulation::set_profile({.capability = 90, .total_bytes = size_t{1} << 37});  // 1 GiB the most
  emulation::set_workspace(1, size_t{1} << 30);
  CHECK(s.planned() == size_t{1} << 30);
  emulation::set_workspace(1, (size_t{1} << 30) + 1);
  CHECK(s.planned() == 0);
}

TEST_CASE("cudnn_choices: where no algorithm is admitted the row refuses, and says so") {
  const CudnnConvolution s;
  CHECK(s.refusal() == "");
  emulation::set_workspace(0, size_t{1} << 40);
  emulation::set_workspace(1, size_t{1} << 40);
  CHECK(s.refusal().find("no deterministic algorithm for conv2d.forward [2,3,6,5] 3x3/1") != std::string::npos);
}

TEST_CASE("cudnn_choices: an algorithm that fails when it is timed is passed over") {
  const CudnnConvolution s;
  emulation::set_cost(1, -1);
  CHECK(s.chosen().id == 0);
  cudnn::configure({});
  emulation::set_cost(0, -1);
  CHECK_THROWS_WITH_AS(s.run(), doctest::Contains("no algorithm could compute"), Error);
}

TEST_CASE("cudnn_choices: timing leaves the inputs alone and allocates nothing") {
  const CudnnConvolution s;
  const std::vector<float> ones(x_spec.bytes() / 4, 1.0f);
  write_to({x_spec, s.x.data()}, Device::cuda, ones.data());
  const size_t peak = cuda::counters().peak_bytes = cuda::counters().allocated_bytes;
  CHECK(s.chosen().id == 1);
  CHECK(read_back({x_spec, s.x.data()}, Device::cuda).as<float>()[0] == 1.0f);
  CHECK(cuda::counters().peak_bytes == peak + y_bytes);  // the workspace, by whoever runs the row
}

TEST_CASE("cudnn_choices: choices are remembered in a file") {
  const CudnnConvolution s;
  const TempFolder folder;
  const std::string cache = folder / "deep/cache.txt";
  cudnn::configure({.deterministic = true, .cache_file = cache, .run_file = ""});
  CHECK(s.chosen().id == 1);
  CHECK(folder.read("deep/cache.txt") == line_for(1));

  emulation::reset_cudnn();
  emulation::set_cost(0, 0.1);
  cudnn::configure({.deterministic = true, .cache_file = cache, .run_file = ""});
  CHECK(s.chosen().id == 1);
  CHECK(emulation::timings() == 0);
  CHECK(folder.read("deep/cache.txt") == line_for(1));

  cudnn::configure({.deterministic = false, .cache_file = cache, .run_file = ""});  // another question
  CHECK(s.chosen().id == 0);
}

TEST_CASE("cudnn_choices: a run's file wins over the cache and gets every choice of the run") {
  const CudnnConvolution s;
  const TempFolder folder;
  const std::string cache = folder.write("cache.txt", line_for(1));
  cudnn::configure({.deterministic = true, .cache_file = cache, .run_file = folder / "run.txt"});
  CHECK(s.chosen().id == 1);
  CHECK(folder.read("run.txt") == line_for(1));

  folder.write("run.txt", line_for(0));
  cudnn::configure({.deterministic = true, .cache_file = cache, .run_file = folder / "run.txt"});
  CHECK(s.chosen().id == 0);
  CHECK(emulation::timings() == 0);
  CHECK(folder.read("cache.txt") == line_for(1));
}

TEST_CASE("cudnn_choices: what is remembered is used only where it is admitted") {
  const CudnnConvolution s;
  const TempFolder folder;
  const std::string run = folder.write("run.txt", line_for(2));
  cudnn::configure({.deterministic = true, .cache_file = "", .run_file = run});
  CHECK(s.chosen().id == 1);
  CHECK(folder.read("run.txt") == line_for(2) + line_for(1));  // the later line is the one that counts

  cudnn::configure({.deterministic = true, .cache_file = "", .run_file = run});
  emulation::set_workspace(1, size_t{1} << 30);
  CHECK(s.chosen().id == 0);
}

TEST_CASE("cudnn_choices: other devices and versions, broken lines and impossible choices are survived") {
  const CudnnConvolution s;
  const TempFolder folder;
  const std::string foreign = line_for(0, "another device") + line_for(0, "emulated device", 90000);
  const std::string torn = line_for(0).substr(0, line_for(0).size() - 1);
  folder.write("cache.txt", foreign + "nonsense\n\n" + line_for(7) + "\x01\x02\t\t\t\n" + torn);
  const std::string before = folder.read("cache.txt");
  log_to_file(folder / "log.txt");
  cudnn::configure({.deterministic = true, .cache_file = folder / "cache.txt", .run_file = ""});
  log_to_file("");
  const std::string log = folder.read("log.txt");
  CHECK(log.find("cache.txt: 3 lines, the first of them line 3, are not") != std::string::npos);  // 3, 6 and 7

  CHECK(s.chosen().id == 1);  // 7 does not exist
  CHECK(folder.read("cache.txt") == before + "\n" + line_for(1));
  cudnn::configure({.deterministic = true, .cache_file = folder / "cache.txt", .run_file = ""});
  emulation::reset_cudnn();
  CHECK(s.chosen().id == 1);
  CHECK(emulation::timings() == 0);

  folder.write("folder.txt", "");
  cudnn::configure(
      {.deterministic = true, .cache_file = folder / "folder.txt/x", .run_file = ""});  // cannot be written
  CHECK(s.chosen().id == 1);
}

TEST_CASE("cudnn_choices: the cache lies where the user's caches lie") {
  const CacheFolder caches;
  CHECK(cudnn::default_cache_file() == caches / "rtrain/cudnn-algorithms.txt");
}
