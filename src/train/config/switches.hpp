// The optimize.* switches: the configuration holds them and the executor obeys them, as one type. A new switch is a
// member here, its line in config_keys.cpp and its use. Each is on by default; off must give the same numbers, up to
// rounding. Where a key may be `auto`, the value here stands until resolve_auto() has chosen one.
#pragma once
#include <string>

namespace rt {

struct Switches {
  bool plan = true;
  bool fuse = true;
  std::string unfused;  // names of fusion rules, separated by spaces
  bool layout = true;   // auto
  bool select = true;
  bool winograd = true;
  bool autotune = true;
  bool memory = true;
  std::string recompute = "none";  // auto; see recompute_named()
  bool graph = true;               // auto
  bool resident = false;           // auto
  bool deterministic = true;
  bool self_test = true;
};

}  // namespace rt
