// Runs that take the same folder at the same time.
#include <doctest/doctest.h>

#include <atomic>
#include <barrier>
#include <string>
#include <thread>
#include <vector>

#include "core/check.hpp"
#include "temp_folder.hpp"
#include "train/run_folder.hpp"

using namespace rt;

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
