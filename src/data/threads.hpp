// Threads beside those of the kernels, which read and prepare data.
#pragma once
#include <signal.h>

#include <cstdint>
#include <functional>

namespace rt {

// Threads inherit the mask of their creator. Those that are created while this lives leave signals to the threads that
// expect them.
class BlockSignals {
 public:
  BlockSignals();
  ~BlockSignals();
  BlockSignals(const BlockSignals&) = delete;
  BlockSignals& operator=(const BlockSignals&) = delete;

 private:
  sigset_t before_;
};

// Calls `work` once on each of so many threads, of which the caller is one, and waits for all. `work` must not throw.
void on_threads(int64_t threads, const std::function<void()>& work);

}  // namespace rt
