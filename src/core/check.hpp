// Errors. Every failure a user can meet is an rt::Error: one sentence that names the thing, both sizes, and what to do,
// with the exit code the process ends with. RT_CHECK is for conditions that the caller of a function must meet.
#pragma once
#include <stdexcept>
#include <string>
#include <utility>

#include "core/format.hpp"

namespace rt {

enum class ExitCode : int {
  ok = 0,
  runtime = 1,   // anything without a better code
  usage = 2,     // command line, configuration
  data = 3,      // data sets, model and checkpoint files
  device = 4,    // no such device, not enough memory
  diverged = 5,  // the loss is no longer a finite number
};

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

template <class... A>
[[noreturn]] void fail(ExitCode code, fmt::format_string<A...> format, A&&... args) {
  throw Error(code, rt::format(format, std::forward<A>(args)...));
}

}  // namespace rt

// RT_CHECK(x.c() == w.c(), "conv2d: input has {} channels, weight expects {}", x.c(), w.c());
#define RT_CHECK(condition, ...)                                        \
  do {                                                                  \
    if (!(condition)) ::rt::fail(::rt::ExitCode::runtime, __VA_ARGS__); \
  } while (0)
