// Benchmarks in processes of their own: peak memory is a process's, and so are warm caches and pinned threads.
#pragma once
#include <string>
#include <vector>

#include "bench/workload.hpp"

namespace rt {

struct ChildResult {
  int exit_code = 0;   // 128 + the signal that ended it
  std::string output;  // of stdout
  std::string reason;  // the last line on stderr: why it failed, where it did
};
// This very program once more with these words. Throws Error(runtime) if it cannot be started.
ChildResult run_self(const std::vector<std::string>& words);

// `rbench step` as words, also where this program is rtrain ("bench step ...").
std::vector<std::string> step_words(const WorkloadOptions& workload, int repeat, int steps, bool within_rtrain);

}  // namespace rt
