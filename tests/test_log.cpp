// A log file that cannot be opened.
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "core/log.hpp"
#include "tests/support/temp_folder.hpp"

using namespace rt;

namespace {

// What is written to stderr while f runs.
template <class F>
std::string on_stderr(const TempFolder& folder, F&& f) {
  const std::string path = folder / "stderr";
  std::fflush(stderr);
  const int before = dup(STDERR_FILENO);
  std::FILE* file = std::fopen(path.c_str(), "w");
  REQUIRE(file != nullptr);
  dup2(fileno(file), STDERR_FILENO);
  f();
  std::fflush(stderr);
  dup2(before, STDERR_FILENO);
  close(before);
  std::fclose(file);
  return folder.read("stderr");
}

}  // namespace

TEST_CASE("log: a file that cannot be opened is named once") {
  const TempFolder folder;
  const std::string path = folder / "no/log.txt";
  const std::string said = on_stderr(folder, [&] {
    log_to_file(path);
    log_info("one");
    log_info("two");
  });
  const std::string warning =
      "warning: cannot write " + path + ": No such file or directory; what is said stands here only";
  CHECK(said == warning + "\none\ntwo\n");
  log_to_file("");
}
