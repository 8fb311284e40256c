// How many threads there are, where they run and how they wait. What other programs gain by that is measured by
// `rbench step --beside N`, not tested.
#include <doctest/doctest.h>
#include <omp.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/check.hpp"
#include "core/device.hpp"
#include "core/threads.hpp"
#include "tests/support/threads_guard.hpp"

using namespace rt;
using namespace rt::testing;

namespace {

std::vector<std::string> added_to(std::vector<const char*> environment) {
  environment.push_back(nullptr);
  std::vector<std::string> names;
  for (const Variable& variable : waiting_variables(environment.data())) names.push_back(variable.name);
  return names;
}

// Of each thread of a parallel region, by its number: the CPUs that it may run on.
std::vector<std::vector<int>> cpus_of_threads(int threads) {
  std::vector<std::vector<int>> result(static_cast<size_t>(threads));
#pragma omp parallel num_threads(threads)
  {
    cpu_set_t mask;
    CPU_ZERO(&mask);
    sched_getaffinity(0, sizeof mask, &mask);
    std::vector<int>& mine = result[static_cast<size_t>(omp_get_thread_num())];
    for (size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &mask)) mine.push_back(static_cast<int>(cpu));
  }
  return result;
}

bool user_places_threads() {
  for (const char* name : {"OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY"})
    if (std::getenv(name) != nullptr) return true;
  return false;
}

}  // namespace

TEST_CASE("threads: waits are limited where the user has not decided how threads wait") {
  const std::vector<std::string> both = {"GOMP_SPINCOUNT", "KMP_BLOCKTIME"}, none;
  CHECK(added_to({}) == both);
  CHECK(added_to({"HOME=/root", "OMP_NUM_THREADS=2", "OMP_PROC_BIND=true", "OMP_PLACES=cores"}) == both);
  CHECK(added_to({"HOME=/root", "OMP_WAIT_POLICY=active"}) == none);
  CHECK(added_to({"GOMP_SPINCOUNT=infinite"}) == none);
  CHECK(added_to({"KMP_BLOCKTIME=200"}) == none);
  CHECK(added_to({"GOMP_SPINCOUNT="}) == none);
  CHECK(added_to({"OMP_WAIT_POLICY_OF_MINE=1", "NOTE=GOMP_SPINCOUNT=5", "GOMP_SPINCOUN=5"}) == both);
}

TEST_CASE("threads: this program runs with what limit_waiting() set, which its main() calls") {
  CHECK(waiting_variables(environ).empty());
  CHECK((std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("KMP_BLOCKTIME") != nullptr ||
         std::getenv("GOMP_SPINCOUNT") != nullptr));
}

TEST_CASE("threads: none is pinned unless asked for, and one pinned before is free again") {
  if (user_places_threads()) return;
  const ThreadsGuard restored;
  const std::vector<int> all = process_cpus();
  const int threads = static_cast<int>(std::min<size_t>(all.size(), 8));
  set_threads(threads);
  for (const auto& cpus : cpus_of_threads(threads)) CHECK(cpus == all);
  set_threads(threads, true);
  set_threads(threads);
  for (const auto& cpus : cpus_of_threads(threads)) CHECK(cpus == all);
}

TEST_CASE("threads: pinned workers have a CPU each, and the calling thread stays free") {
  if (user_places_threads()) return;
  const ThreadsGuard restored;
  const std::vector<int> all = process_cpus();
  const int threads = static_cast<int>(std::min<size_t>(all.size(), 8));
  set_threads(threads, true);
  const auto masks = cpus_of_threads(threads);
  CHECK(masks[0] == all);
  std::vector<int> taken;
  for (size_t i = 1; i < masks.size(); ++i) {
    REQUIRE(masks[i].size() == 1);
    CHECK(std::find(all.begin(), all.end(), masks[i][0]) != all.end());
    taken.push_back(masks[i][0]);
  }
  std::sort(taken.begin(), taken.end());
  CHECK(std::adjacent_find(taken.begin(), taken.end()) == taken.end());
}

TEST_CASE("threads: more threads than CPUs are not pinned") {
  if (user_places_threads()) return;
  const ThreadsGuard restored;
  const std::vector<int> all = process_cpus();
  const int threads = static_cast<int>(all.size()) + 1;
  set_threads(threads, true);
  for (const auto& cpus : cpus_of_threads(threads)) CHECK(cpus == all);
}

TEST_CASE("threads: a number outside 1 to 1024 is refused, and changes nothing") {
  const ThreadsGuard restored;
  set_threads(2);
  CHECK_THROWS_AS(set_threads(0), Error);
  CHECK_THROWS_AS(set_threads(1025), Error);
  CHECK(threads_in_use() == 2);
  CHECK(omp_get_max_threads() == 2);
}
