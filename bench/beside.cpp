#include "bench/beside.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/check.hpp"
#include "core/clock.hpp"
#include "core/threads.hpp"

namespace rt {
namespace {

// On any of these CPUs, though OpenMP may have bound the parent's thread to one.
[[noreturn]] void stay_busy(pid_t parent, std::span<const int> cpus) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_NAME, "rbench-busy");
  if (getppid() != parent) _exit(1);  // it died before it was asked to take this process along
  run_on(cpus);
  raise(SIGSTOP);
  for (volatile uint64_t turns = 0;;) turns = turns + 1;
}

// Returns false where the process ended instead.
bool wait_until_stopped(pid_t process) {
  int status = 0;
  while (waitpid(process, &status, WUNTRACED) < 0)
    if (errno != EINTR) return false;
  return WIFSTOPPED(status);
}

void kill_all(const std::vector<pid_t>& processes) {
  for (const pid_t process : processes) kill(process, SIGKILL);
  for (const pid_t process : processes) {
    while (waitpid(process, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
}

// Returns the images/s of at least so many steps and a second; a step before that lets the scheduler settle.
double images_per_s(Workload& w, int batch, int steps) {
  constexpr double at_least_ms = 1000;
  w.step();
  w.finish();
  const double began = now_ms();
  int done = 0;
  while (done < steps || now_ms() - began < at_least_ms) {
    w.step();
    w.finish();
    ++done;
  }
  return 1e3 * batch * done / (now_ms() - began);
}

}  // namespace

double fair_share(int threads, int processes, int cpus) {
  const auto of_a_cpu = [&](int runnable) { return std::min(1.0, static_cast<double>(cpus) / runnable); };
  return of_a_cpu(threads + processes) / of_a_cpu(threads);
}

BusyProcesses::BusyProcesses(int count) {
  const pid_t parent = getpid();
  const std::vector<int> cpus = process_cpus();
  for (int i = 0; i < count; ++i) {
    const pid_t child = fork();
    if (child == 0) stay_busy(parent, cpus);
    const int problem = errno;
    if (child > 0) processes_.push_back(child);
    if (child > 0 && wait_until_stopped(child)) continue;
    kill_all(processes_);
    fail(ExitCode::runtime, "a busy process did not start{}{}", child < 0 ? ": " : "",
         child < 0 ? std::strerror(problem) : "");
  }
}

BusyProcesses::~BusyProcesses() { kill_all(processes_); }

void BusyProcesses::run() {
  for (const pid_t process : processes_) kill(process, SIGCONT);
}

void BusyProcesses::stop() {
  for (const pid_t process : processes_) kill(process, SIGSTOP);
  for (const pid_t process : processes_)
    if (!wait_until_stopped(process)) fail(ExitCode::runtime, "a busy process has ended");
}

BesideFigures measure_beside(Workload& workload, BusyProcesses& busy, int batch, int repeat, int steps) {
  std::vector<double> alone, beside, share;
  for (int r = 0; r < repeat; ++r) {
    alone.push_back(images_per_s(workload, batch, steps));
    busy.run();
    beside.push_back(images_per_s(workload, batch, steps));
    busy.stop();
    share.push_back(beside.back() / alone.back());
  }
  const int cpus = machine().affinity_cpus;
  return {.processes = busy.count(),
          .cpus = cpus,
          .fair_share = fair_share(threads_in_use(), busy.count(), cpus),
          .alone = spread_of(alone),
          .beside = spread_of(beside),
          .share = spread_of(share)};
}

}  // namespace rt
