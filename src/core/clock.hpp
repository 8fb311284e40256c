// Time that only goes forward, for measuring.
#pragma once
#include <chrono>

namespace rt {

inline double now_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace rt
