#include "train/signals.hpp"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>

namespace rt {
namespace {
std::atomic<int> g_first = 0;  // other threads read it
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler writes it");
volatile std::sig_atomic_t g_interrupted = 0, g_terminated = 0;

void on_signal(int signal) {
  volatile std::sig_atomic_t& seen = signal == SIGINT ? g_interrupted : g_terminated;
  if (seen != 0) _exit(128 + signal);
  seen = 1;
  if (g_first != 0) return;
  g_first = signal;
  const int saved_errno = errno;
  constexpr char interrupted[] = "\nstopping at the end of this step; press Ctrl-C again to leave at once\n";
  constexpr char terminated[] = "\nstopping at the end of this step; a second SIGTERM leaves at once\n";
  [[maybe_unused]] const auto written = signal == SIGINT ? write(STDERR_FILENO, interrupted, sizeof interrupted - 1)
                                                         : write(STDERR_FILENO, terminated, sizeof terminated - 1);
  errno = saved_errno;
}
}  // namespace

void install_stop_handlers() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

int stop_signal() { return g_first; }

}  // namespace rt
