// Positional words of a command line: settings are written key=value, everything else is a name (a folder, an op).
#pragma once
#include <string>
#include <vector>

namespace rt {

struct Words {
  std::vector<std::string> names, settings;
};
Words split_words(const std::vector<std::string>& words);

// The only one of the names, or "" if there is none. Throws Error(usage) where there are several.
std::string one_data_folder(const std::vector<std::string>& names);

}  // namespace rt
