// What is written to stdout or stderr of this process.
#pragma once
#include <unistd.h>

#include <cstdio>
#include <string>

#include "tests/support/temp_folder.hpp"

namespace rt::testing {

// What f() writes to a file descriptor, STDOUT_FILENO or STDERR_FILENO, which is sent to a file meanwhile.
template <class F>
std::string written_to(int descriptor, F&& f) {
  const TempFolder folder;
  const std::string path = folder / "written";
  std::fflush(nullptr);
  const int before = dup(descriptor);
  std::FILE* file = std::fopen(path.c_str(), "wb");
  dup2(fileno(file), descriptor);
  f();
  std::fflush(nullptr);
  dup2(before, descriptor);
  close(before);
  std::fclose(file);
  return folder.read("written");
}

}  // namespace rt::testing
