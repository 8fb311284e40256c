// How long a run is, in updates, and its learning rates over that length.
#pragma once
#include <cstdint>

#include "train/schedule.hpp"
#include "train/session.hpp"

namespace rt {

struct RunLength {
  int64_t steps_per_epoch, steps;  // updates
};
RunLength run_length(const Session& session);    // Error(usage) where the images do not fill a batch
Schedule make_schedule(const Session& session);  // Error(usage) where it does not fit into the run

}  // namespace rt
