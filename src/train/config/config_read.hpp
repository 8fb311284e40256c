// The parts of which loading a configuration consists. Errors are ExitCode::usage and name the place, the key, the
// value and what is allowed.
#pragma once
#include "train/config/config_keys.hpp"

namespace rt {

LoadedConfig default_config();
std::string read_config_file(LoadedConfig& loaded, const std::string& path);  // TOML; returns the file's text
void override_config(LoadedConfig& loaded, const std::string& setting);       // "key=value"
void make_automatic(LoadedConfig& loaded, const Key& key);                    // resolve_auto() is to choose
void check_config(const LoadedConfig& loaded);                                // values that contradict each other

}  // namespace rt
