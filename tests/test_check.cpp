// Errors: the sentence and the exit code.
#include <doctest/doctest.h>

#include <string>

#include "core/check.hpp"

using namespace rt;

TEST_CASE("check: errors carry their sentence and their exit code") {
  try {
    fail(ExitCode::data, "{} has {} bytes", "x.bin", 3);
  } catch (const Error& e) {
    CHECK(e.code() == ExitCode::data);
    CHECK(std::string(e.what()) == "x.bin has 3 bytes");
  }
  CHECK_THROWS_AS(RT_CHECK(1 == 2, "no"), Error);
}
