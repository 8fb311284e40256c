// This test program once more, for what a process does that a test cannot take back: a terminal of its own, its stderr.
#pragma once
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace rt::testing {

// What the test case of this name, which is skipped otherwise, writes to stderr: a terminal so many columns wide, or a
// pipe where `columns` is 0. "" if it failed.
inline std::string stderr_of_case(const std::string& name, unsigned short columns) {
  int ends[2];  // ours, and the case's
  if (columns > 0) {
    ends[0] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (ends[0] < 0 || grantpt(ends[0]) != 0 || unlockpt(ends[0]) != 0) return "";
    ends[1] = open(ptsname(ends[0]), O_RDWR | O_NOCTTY);
    winsize size{};
    size.ws_col = columns;
    ioctl(ends[1], TIOCSWINSZ, &size);
  } else if (pipe2(ends, O_CLOEXEC) != 0) {
    return "";
  }
  const std::string filter = "--test-case=" + name;
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDOUT_FILENO);
    execl("/proc/self/exe", "rt_tests", filter.c_str(), "--no-skip", nullptr);
    _exit(127);
  }
  close(ends[1]);
  std::string written;
  char buffer[4096];
  for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) written.append(buffer, static_cast<size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return status == 0 ? written : "";
}

}  // namespace rt::testing
