// Names of run folders, runs/latest, and folders that are refused.
#include <doctest/doctest.h>

#include <atomic>
#include <barrier>
#include <ctime>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "core/check.hpp"
#include "tests/support/error_of.hpp"
#include "tests/support/temp_folder.hpp"
#include "train/files/files.hpp"
#include "train/run_folder.hpp"

using namespace rt;
using namespace rt::testing;
namespace fs = std::filesystem;

TEST_CASE("run_folder: a new run gets a name of its own, and runs/latest points to it") {
  const TempFolder folder;
  InFolder inside(folder.path);
  setenv("TZ", "UTC", 1);
  tzset();
  const std::time_t now = 1700000000;  // 2023-11-14 22:13:20 UTC
  CHECK(create_run_folder("", "cifar10", now).dir == "runs/cifar10-20231114-221320");
  CHECK(create_run_folder("", "cifar10", now).dir == "runs/cifar10-20231114-221320-2");
  const RunFolder run = create_run_folder("", "cifar10", now);
  CHECK(run.dir == "runs/cifar10-20231114-221320-3");
  CHECK(run.checkpoints == run.dir + "/checkpoints");
  CHECK(fs::is_directory(run.checkpoints));
  CHECK(fs::read_symlink("runs/latest") == "cifar10-20231114-221320-3");
  CHECK(create_run_folder("runs/mine/", "cifar10", now).dir == "runs/mine");
  CHECK(fs::read_symlink("runs/latest") == "mine");
  create_run_folder("elsewhere/mine", "cifar10", now);
  CHECK(!fs::exists("elsewhere/latest"));
  CHECK(fs::read_symlink("runs/latest") == "mine");
}

TEST_CASE("run_folder: a folder that holds a run is refused for a new one, and found for an old one") {
  const TempFolder folder;
  InFolder inside(folder.path);
  const RunFolder run = create_run_folder("runs/a", "x");
  CHECK(error_of([] { create_run_folder("runs/a", "x"); }, ExitCode::usage) ==
        "run.dir = \"runs/a\" already holds a run; continue it with --resume runs/a, or name another folder");
  CHECK(error_of([] { open_run_folder("runs/a"); }, ExitCode::usage) ==
        "runs/a is not the folder of a run: it has no config.toml");
  CHECK(error_of([] { open_run_folder("runs/b"); }, ExitCode::usage) ==
        "cannot open the run runs/b: No such file or directory");
  atomic_write(run.config, "");
  CHECK(fs::path(open_run_folder("runs/latest").dir) == fs::canonical("runs/a"));
  folder.write("file", "");
  CHECK(error_of([] { create_run_folder("file/x", "x"); }, ExitCode::runtime).find("cannot create the folder file/x") ==
        0);
}

TEST_CASE("run_folder: a latest that cannot be replaced does not stop a run") {
  const TempFolder folder;
  InFolder inside(folder.path);
  fs::create_directories("runs/latest/in the way");
  CHECK(create_run_folder("runs/a", "x").dir == "runs/a");
  CHECK(fs::is_directory("runs/latest/in the way"));
  CHECK(!fs::is_symlink("runs/a.latest"));
}

TEST_CASE("run_folder: of several runs that name one folder at once, one gets it") {
  const TempFolder folder;
  for (int round = 0; round < 50; ++round) {
    const std::string dir = folder / ("run" + std::to_string(round));
    constexpr int runs = 4;
    std::barrier together(runs);
    std::atomic<int> got{0}, refused{0};
    std::vector<std::jthread> threads;
    for (int i = 0; i < runs; ++i)
      threads.emplace_back([&] {
        together.arrive_and_wait();
        try {
          create_run_folder(dir, "recipe");
          ++got;
        } catch (const Error& e) {
          if (e.code() == ExitCode::usage && std::string(e.what()).find("already holds a run") != std::string::npos)
            ++refused;
        }
      });
    threads.clear();
    REQUIRE(got == 1);
    REQUIRE(refused == runs - 1);
  }
}
