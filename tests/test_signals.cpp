// What signals do, in processes of their own.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <initializer_list>

#include "train/signals.hpp"

using namespace rt;

namespace {

// How a process ends that gets these signals, and then leaves with what stop_signal() says.
int exit_code_after(std::initializer_list<int> signals) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    if (!freopen("/dev/null", "w", stderr)) _exit(1);
    install_stop_handlers();
    for (const int s : signals) raise(s);
    _exit(stop_signal());
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

}  // namespace

TEST_CASE("signals: the first one asks to stop, and once more it leaves at once") {
  CHECK(exit_code_after({}) == 0);
  for (const int s : {SIGINT, SIGTERM}) {
    CHECK(exit_code_after({s}) == s);
    CHECK(exit_code_after({s, s}) == 128 + s);
  }
}

TEST_CASE("signals: one of the other kind changes nothing") {
  CHECK(exit_code_after({SIGINT, SIGTERM}) == SIGINT);
  CHECK(exit_code_after({SIGTERM, SIGINT}) == SIGTERM);
  CHECK(exit_code_after({SIGTERM, SIGINT, SIGINT}) == 128 + SIGINT);
}
