// Threads for as long as a test runs.
#pragma once
#include "core/threads.hpp"

namespace rt::testing {

// So many threads, or at first as many as there are; when it goes, as many as before, none of them pinned.
class ThreadsGuard {
 public:
  ThreadsGuard() = default;
  explicit ThreadsGuard(int threads) { set_threads(threads); }
  ~ThreadsGuard() { set_threads(before_); }
  ThreadsGuard(const ThreadsGuard&) = delete;

 private:
  const int before_ = threads_in_use();
};

}  // namespace rt::testing
