// What the bits of a run depend on besides its configuration: program, device, compiler, and the kernels that compute.
#pragma once
#include <string>

#include "train/session.hpp"

namespace rt {

// Equal texts promise equal bits. A checkpoint keeps it (LoopState), and a run that goes on warns where it differs.
std::string fingerprint(Session& session);

}  // namespace rt
