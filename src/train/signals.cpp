#include "train/signals.hpp"

#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace rt {
namespace {
volatile std::sig_atomic_t g_signal = 0;

void on_signal(int signal) {
  if (g_signal != 0) _exit(128 + signal);
  g_signal = signal;
  const int saved_errno = errno;
  constexpr char text[] = "\nstopping at the end of this step; press Ctrl-C again to leave at once\n";
  [[maybe_unused]] const auto written = write(STDERR_FILENO, text, sizeof text - 1);
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

int stop_signal() { return g_signal; }

}  // namespace rt
