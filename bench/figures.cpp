#include "bench/figures.hpp"

#include <algorithm>
#include <ctime>

#include "core/build.hpp"
#include "core/device.hpp"

namespace rt {

Spread spread_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return {.median = values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2,
          .least = values.front(),
          .most = values.back()};
}

std::map<std::string, std::string> provenance() {
  const std::time_t now = std::time(nullptr);
  char date[sizeof "2026-01-31"];
  std::strftime(date, sizeof date, "%Y-%m-%d", std::localtime(&now));
  return {{"cpu", machine().cpu_model}, {"commit", build::commit()}, {"date", date}};
}

}  // namespace rt
