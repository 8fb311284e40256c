// The verb `train`: from a configuration to a finished run folder, and the continuation of a run.
#pragma once
#include <string>
#include <vector>

namespace rt {

struct TrainRequest {
  std::string config_file;             // "": none
  std::string data_dir;                // "": as configured
  std::vector<std::string> overrides;  // key=value
  std::string resume;                  // a run folder to continue; "": a new run
  bool dry_run = false;                // resolve, plan, report, stop before the first step
  bool explain = false;                // print the chosen implementation of every step
};

// Returns the process's exit code: 0, or 128 + signal after saving. Throws Error, with ExitCode::diverged when the loss
// is no longer finite.
int train(const TrainRequest& request);

}  // namespace rt
