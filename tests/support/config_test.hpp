// What tests of the configuration have in common.
#pragma once
#include <string>
#include <vector>

#include "tests/support/temp_folder.hpp"
#include "train/config/config.hpp"

namespace rt::testing {

inline LoadedConfig load_text(const std::string& toml, const std::vector<std::string>& overrides = {}) {
  const TempFolder folder;
  return load_config(folder.write("recipe.toml", toml), overrides);
}

inline Machine two_cores() {
  Machine m{};
  m.threads = {2, "2 physical cores"};
  m.usable_memory_bytes = {int64_t{4} << 30, "4.0 GiB of memory available"};
  return m;
}

}  // namespace rt::testing
