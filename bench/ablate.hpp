// `rbench ablate`: what each optimisation is worth, in time and memory. Three groups of configurations of one training
// step: "together", from the baseline with none of them on, adding one after the other; "alone", each on top of the
// baseline; and "without", all of them but one. Each runs in processes of its own, in rounds over all configurations.
#pragma once
#include "bench/workload.hpp"

namespace rt {

struct AblateOptions {
  WorkloadOptions workload;  // what an optimisation says about it (precision, workers) goes before
  // The optimisations to look at; empty: all that the device has. The others stay as `workload` says.
  std::vector<std::string> names;
  int rounds = 3, repeat = 3, steps = 1;
  bool json = false;
  bool within_rtrain = false;  // this program is rtrain: `rtrain bench ablate`
};
// What this build or machine refuses is left out with a word. Prints a table (or one JSON object) on stdout; 0, or 1
// where a configuration failed that should have run.
int run_ablation(const AblateOptions& options);

}  // namespace rt
