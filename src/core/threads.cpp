#include "core/threads.hpp"

#include <limits.h>
#include <omp.h>
#include <sched.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>

#include "core/check.hpp"
#include "core/device.hpp"
#include "core/log.hpp"
#include "core/probe.hpp"

namespace rt {
namespace {

// GNU's OpenMP counts turns of a loop, each a pause: 2000 take some tens of microseconds, which is longer than most
// waits within a training step and far shorter than a time slice. LLVM's counts milliseconds: 0 is the only value below
// one.
constexpr Variable short_waits[] = {{"GOMP_SPINCOUNT", "2000"}, {"KMP_BLOCKTIME", "0"}};
constexpr std::string_view decide_waits[] = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"};
constexpr const char* decide_places[] = {"OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY"};

int threads_set = 0;  // 0: never
bool workers_pinned = false;

// One CPU of each core before any core's second.
std::vector<int> cores_first(std::span<const int> cpus) {
  std::vector<int> first, siblings;
  std::set<std::string> cores;
  for (const int cpu : cpus) (cores.insert(probe::core_of("", cpu)).second ? first : siblings).push_back(cpu);
  first.insert(first.end(), siblings.begin(), siblings.end());
  return first;
}

bool can_pin(int threads, std::span<const int> cpus) {
  for (const char* name : decide_places)
    if (std::getenv(name) != nullptr) {
      log_warning("threads are not pinned: {} says where they run", name);
      return false;
    }
  if (threads <= std::ssize(cpus)) return true;
  log_warning("threads are not pinned: there are {}, and {} CPU{} for them", threads, cpus.size(),
              cpus.size() == 1 ? "" : "s");
  return false;
}

}  // namespace

void run_on(std::span<const int> cpus) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  for (const int cpu : cpus) CPU_SET(static_cast<size_t>(cpu), &mask);
  sched_setaffinity(0, sizeof mask, &mask);
}

std::vector<int> process_cpus() {
  std::vector<int> cpus;
  // Where OpenMP has places, it may have bound the calling thread to one of them already.
  for (int place = 0; place < omp_get_num_places(); ++place) {
    std::vector<int> of_place(static_cast<size_t>(omp_get_place_num_procs(place)));
    omp_get_place_proc_ids(place, of_place.data());
    cpus.insert(cpus.end(), of_place.begin(), of_place.end());
  }
  std::sort(cpus.begin(), cpus.end());
  cpus.erase(std::unique(cpus.begin(), cpus.end()), cpus.end());
  if (!cpus.empty()) return cpus;
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof mask, &mask) == 0)
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(static_cast<size_t>(cpu), &mask)) cpus.push_back(cpu);
  return cpus;
}

int threads_in_use() { return threads_set > 0 ? threads_set : static_cast<int>(machine().threads.value); }

void set_threads(int threads, bool pin) {
  RT_CHECK(threads >= 1 && threads <= 1024, "threads must be between 1 and 1024, not {}", threads);
  threads_set = threads;
  omp_set_dynamic(0);
  omp_set_num_threads(threads);
  const std::vector<int> cpus = process_cpus();
  pin = pin && can_pin(threads, cpus);
  if (!pin && !workers_pinned) return;
  workers_pinned = pin;
  const std::vector<int> in_order = cores_first(cpus);
#pragma omp parallel num_threads(threads)
  if (const int id = omp_get_thread_num(); id > 0)
    run_on(pin ? std::span(in_order).subspan(static_cast<size_t>(id), 1) : std::span(in_order));
}

std::span<const Variable> waiting_variables(const char* const* environment) {
  for (; *environment != nullptr; ++environment) {
    const std::string_view entry = *environment, name = entry.substr(0, entry.find('='));
    if (std::find(std::begin(decide_waits), std::end(decide_waits), name) != std::end(decide_waits)) return {};
  }
  return short_waits;
}

void limit_waiting(char** argv) {
  const std::span<const Variable> added = waiting_variables(environ);
  if (added.empty()) return;
  for (const Variable& variable : added)
    if (setenv(variable.name, variable.value, 1) != 0) return;
  // Without an interpreter the file that runs is the dynamic loader, to which this program was given as a word.
  if (getauxval(AT_BASE) == 0) return;
  char path[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path);
  if (length <= 0 || length == static_cast<ssize_t>(sizeof path)) return;
  path[length] = '\0';
  run_on(process_cpus());  // or the one CPU to which OpenMP has bound this thread would be all that is left
  execv(path, argv);
}

}  // namespace rt
