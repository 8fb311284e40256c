// rtrain doctor: what computing here needs, examined one by one.
#pragma once
#include <string>
#include <vector>

namespace rt {

struct Finding {
  bool ok;
  std::string what;    // "NVIDIA driver"
  std::string detail;  // what was found
  std::string advice;  // what to install or do; "" where all is well
};
std::vector<Finding> examine();

std::string dotted(int version);           // 12040 -> "12.4", as the driver and the runtime count
std::string library_version(int version);  // 91002 -> "9.10.2", 8907 -> "8.9.7", as cuDNN and cuBLAS count

}  // namespace rt
