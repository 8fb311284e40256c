// The closed set of configuration keys: one table binds a key to its member of Config, with its limits and its help.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "train/config/config.hpp"

namespace rt {

using Member = std::variant<bool*, int*, int64_t*, double*, std::string*, std::vector<double>*>;

enum class OnResume { fixed, free, longer };

struct Key {
  std::string_view name;  // "train.batch"
  Member (*member)(Config&);
  std::string_view help;
  double low = 0, high = 0;                    // of numbers, inclusive
  std::vector<std::string_view> choices = {};  // of strings; empty: any text
  bool automatic = false;                      // "auto" is allowed, and is the default
  bool of_the_machine = false;                 // `auto` follows the machine, and is chosen again on another one
  OnResume on_resume = OnResume::fixed;
  // For docs/settings.md, in Markdown: more than `help` says; of a switch, what its values mean.
  std::string_view details = {}, on = {}, off = {};
};

std::span<const Key> config_keys();             // in the order of the struct; top-level keys first
const Key* find_key(std::string_view name);     // null if there is none
const Key& nearest_key(std::string_view name);  // the one most likely meant

std::vector<std::string> chosen_by_the_machine();  // "threads=auto", ...: forgets what another machine chose

std::string allowed_text(const Key& key);                      // "a whole number from 1 to 4096, or auto"
std::string value_text(const Config& config, const Key& key);  // as TOML; equal texts mean equal values

}  // namespace rt
