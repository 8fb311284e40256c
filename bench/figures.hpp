// What every measurement says of its numbers: how they are spread, and what machine and program they are of.
#pragma once
#include <map>
#include <string>
#include <vector>

namespace rt {

// Median, least and largest of some numbers; zeros where there are none.
struct Spread {
  double median = 0, least = 0, most = 0;
};
Spread spread_of(std::vector<double> values);

// For every JSON object that is printed: cpu, commit, date.
std::map<std::string, std::string> provenance();

}  // namespace rt
