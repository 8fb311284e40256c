// The optimisations that `rbench ablate` switches: what makes `rbench step` run with each, and without it.
#pragma once
#include <string>
#include <vector>

#include "core/device.hpp"

namespace rt {

struct Optimisation {
  std::string name;
  std::vector<std::string> on, off;  // words for `rbench step`
  std::vector<std::string> needs;    // names of others, without which it does nothing
  // How a command line names it.
  std::string word() const { return name.substr(0, name.find(' ')); }
};

std::vector<Optimisation> optimisations(Device device);  // in the order in which they are added
// Those with the given words; all where none is given. Error(usage) lists the known ones where one is unknown.
std::vector<Optimisation> optimisations(Device device, const std::vector<std::string>& words);

}  // namespace rt
