// A configuration as text: the file of a run folder, and the table that `rtrain config` prints.
#include <algorithm>

#include "core/format.hpp"
#include "train/config/config.hpp"
#include "train/config/config_keys.hpp"

namespace rt {
namespace {

// A comment ends at a control character, and a file's name may hold one.
std::string one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  return text;
}

std::string shown_value(const LoadedConfig& loaded, const Key& key) {
  return loaded.origins.find(key.name)->second.automatic ? "\"auto\"" : value_text(loaded.config, key);
}

}  // namespace

std::string to_toml(const LoadedConfig& loaded) {
  std::string out, table;
  for (const Key& key : config_keys()) {
    const size_t dot = key.name.rfind('.');
    if (const std::string_view of = dot == std::string::npos ? "" : key.name.substr(0, dot); of != table) {
      table = of;
      out += rt::format("\n[{}]\n", table);
    }
    out += rt::format("{} = {}  # {}\n", key.name.substr(dot + 1), shown_value(loaded, key),
                      one_line(loaded.origins.find(key.name)->second.text));
  }
  return out;
}

std::string config_table(const LoadedConfig& loaded, bool with_origin) {
  size_t name_width = 0, value_width = 0;
  for (const Key& key : config_keys()) {
    name_width = std::max(name_width, key.name.size());
    value_width = std::max(value_width, std::min<size_t>(24, shown_value(loaded, key).size()));
  }
  std::string out;
  for (const Key& key : config_keys())
    out += rt::format("{:<{}}  {:<{}}  {}\n", key.name, name_width, shown_value(loaded, key), value_width,
                      with_origin ? one_line(loaded.origins.find(key.name)->second.text)
                                  : rt::format("{} ({})", key.help, allowed_text(key)));
  return out;
}

}  // namespace rt
