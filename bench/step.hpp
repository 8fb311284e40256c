// Times whole training steps (forward, backward, update) of a model on random images: the figure that PyTorch's
// forward + backward + optimizer.step() is compared with; and how long a process takes to get through its first one.
#pragma once
#include "bench/workload.hpp"

namespace rt {

struct StepBenchOptions {
  WorkloadOptions workload;
  int repeat = 5, steps = 3;
  bool json = false;
  int beside = -1;  // busy processes to measure beside as well; -1: do not
};
int run_step_bench(const StepBenchOptions& options);

}  // namespace rt
