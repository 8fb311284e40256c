// What a failing call says.
#pragma once
#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <utility>

#include "core/check.hpp"

namespace rt::testing {

// The message of the Error that f() throws; "" if it throws none. Fails the test where its exit code is not `code`.
template <class F>
std::string error_of(F&& f, std::optional<ExitCode> code = {}) {
  try {
    std::forward<F>(f)();
  } catch (const Error& e) {
    if (code) CHECK(e.code() == *code);
    return e.what();
  }
  return "";
}

}  // namespace rt::testing
