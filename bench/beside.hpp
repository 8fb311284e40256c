// `rbench step --beside N`: what is left of a training step's speed on a machine where N other processes compute.
#pragma once
#include <sys/types.h>

#include <vector>

#include "bench/figures.hpp"
#include "bench/workload.hpp"

namespace rt {

// The share of its own speed that a program of so many threads is due beside so many busy processes:
//   min(1, cpus / (threads + processes)) / min(1, cpus / threads)
// which is threads / (threads + processes) where it has as many threads as there are CPUs.
double fair_share(int threads, int processes, int cpus);

// Processes that only count, at first stopped. They are of this process's session, since Linux may share CPUs out by
// session first, and of its process group, so that Ctrl-C at a terminal ends them. They die with the thread that makes
// them, too.
class BusyProcesses {
 public:
  // Make it before memory is filled and threads are started: the processes are forks. Throws Error(runtime).
  explicit BusyProcesses(int count);
  ~BusyProcesses();
  BusyProcesses(const BusyProcesses&) = delete;
  BusyProcesses& operator=(const BusyProcesses&) = delete;

  int count() const { return static_cast<int>(processes_.size()); }
  void run();
  void stop();

 private:
  std::vector<pid_t> processes_;
};

struct BesideFigures {
  int processes, cpus;
  double fair_share;
  Spread alone, beside;  // images/s
  Spread share;          // beside / alone, of each pair
};
// Measures alone and beside, interleaved, `repeat` times; each lasts `steps` steps and a second at least.
BesideFigures measure_beside(Workload& workload, BusyProcesses& busy, int batch, int repeat, int steps);

}  // namespace rt
