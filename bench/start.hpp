// `rbench start`: from the start of a process to the end of its first training step, and what it spends on the way. A
// process of its own for each repeat, after one that warms the file cache (and what choices are kept on disk).
#pragma once
#include "bench/workload.hpp"

namespace rt {

struct StartOptions {
  WorkloadOptions workload = {.batch = 8};
  int rounds = 5;
  bool json = false, within_rtrain = false;
};
int run_start_bench(const StartOptions& options);

}  // namespace rt
