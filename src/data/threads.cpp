#include "data/threads.hpp"

#include <pthread.h>

#include <thread>
#include <vector>

namespace rt {

BlockSignals::BlockSignals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before_);
}

BlockSignals::~BlockSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

void on_threads(int64_t threads, const std::function<void()>& work) {
  std::vector<std::jthread> others;
  {
    const BlockSignals block;
    for (int64_t t = 1; t < threads; ++t) others.emplace_back(work);
  }
  work();
}

}  // namespace rt
