// For tests that need a CUDA device: the emulated one in rt_tests, the real one in rt_tests_gpu. `return` where there
// is none.
#pragma once
#include <doctest/doctest.h>

#include <cstdlib>
#include <string>

#include "core/cuda.hpp"

#define RT_NEEDS_CUDA()                                      \
  do {                                                       \
    if (!::rt::cuda::support().problem.empty()) {            \
      MESSAGE("skipped: " << ::rt::cuda::support().problem); \
      return;                                                \
    }                                                        \
    ::rt::cuda::use(0);                                      \
  } while (0)

namespace rt::testing {

// Rows of a lower compute capability, on whatever device there is.
class ForceCapability {
 public:
  explicit ForceCapability(int capability) {
    if (const char* set = std::getenv("RT_FORCE_SM")) before_ = set;
    if (cuda::support().devices.at(0).capability >= capability)
      setenv("RT_FORCE_SM", std::to_string(capability).c_str(), 1);
  }
  ~ForceCapability() {
    if (before_.empty())
      unsetenv("RT_FORCE_SM");
    else
      setenv("RT_FORCE_SM", before_.c_str(), 1);
  }
  ForceCapability(const ForceCapability&) = delete;

 private:
  std::string before_;
};

}  // namespace rt::testing
