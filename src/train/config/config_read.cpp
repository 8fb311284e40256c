// Reads TOML and key=value into a configuration, and says every mistake in one sentence. Every value is stored through
// the table of keys: the file and the command line cannot differ in what they allow.
#include "train/config/config_read.hpp"

#include <toml++/toml.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "core/check.hpp"
#include "train/config/config_keys.hpp"
#include "train/config/toml_depth.hpp"
#include "train/files/files.hpp"

namespace rt {
namespace {

constexpr size_t max_bytes = 64 * 1024;
constexpr int max_depth = 8;

std::string quoted_text(const std::string& text) {
  Config scratch;
  scratch.run.dir = text;
  return value_text(scratch, *find_key("run.dir"));
}

std::string text_of(const toml::node& node) {
  if (node.is_string()) return quoted_text(**node.as_string());
  std::ostringstream out;
  node.visit([&](const auto& value) { out << value; });
  return out.str();
}

// {"value": …}, or an empty table where the text is not exactly one TOML value.
toml::table parse_value(const std::string& text) {
  if (text.size() > max_bytes || text.find('\n') != std::string::npos || too_deep_line(text, max_depth) > 0) return {};
  try {
    return toml::table(toml::parse("value = " + text));
  } catch (const toml::parse_error&) {
    return {};
  }
}

bool is_table_name(std::string_view name) {
  return std::any_of(config_keys().begin(), config_keys().end(), [&](const Key& key) {
    return key.name.size() > name.size() && key.name.substr(0, name.size()) == name && key.name[name.size()] == '.';
  });
}

[[noreturn]] void unknown(const std::string& place, const std::string& name, const std::string& top_level_advice) {
  const std::string leaf = name.substr(name.rfind('.') + 1);
  if (leaf != name && find_key(leaf) != nullptr)
    fail(ExitCode::usage, "{}: unknown key {}: {} belongs to no table; {}", place, name, leaf, top_level_advice);
  if (is_table_name(name)) {
    std::vector<std::string_view> keys;
    for (const Key& key : config_keys())
      if (key.name.rfind(name + ".", 0) == 0) keys.push_back(key.name);
    fail(ExitCode::usage, "{}: {} is a table, not a value; its keys are {}", place, name, joined(keys, ", "));
  }
  fail(ExitCode::usage, "{}: unknown key {}; did you mean {}? `rtrain config` lists every key", place, name,
       nearest_key(name).name);
}

[[noreturn]] void refuse(const std::string& place, const Key& key, std::string_view value) {
  const std::string shown = value.size() <= 60 ? std::string(value) : std::string(value.substr(0, 57)) + "...";
  fail(ExitCode::usage, "{}: {} = {}: must be {}", place, key.name, shown, allowed_text(key));
}

bool in_range(const Key& key, double value) { return value >= key.low && value <= key.high; }  // false for NaN

// Writes a node's value into a key's member. False where the type is another, or the value out of range.
bool put(bool* target, const Key&, const toml::node& node) {
  if (!node.is_boolean()) return false;
  *target = **node.as_boolean();
  return true;
}
bool put(std::string* target, const Key& key, const toml::node& node) {
  if (!node.is_string()) return false;
  *target = **node.as_string();
  return key.choices.empty() || std::find(key.choices.begin(), key.choices.end(), *target) != key.choices.end();
}
bool put(std::vector<double>* target, const Key& key, const toml::node& node) {
  if (!node.is_array()) return false;
  target->clear();
  for (const toml::node& item : *node.as_array()) {
    if (!item.is_number() || !in_range(key, *item.value<double>())) return false;
    target->push_back(*item.value<double>());
  }
  return true;
}
bool put(double* target, const Key& key, const toml::node& node) {
  if (!node.is_number() || !in_range(key, *node.value<double>())) return false;
  *target = *node.value<double>();
  return true;
}
template <class Integer>
bool put(Integer* target, const Key& key, const toml::node& node) {
  if (!node.is_integer() || !in_range(key, *node.value<double>())) return false;
  *target = static_cast<Integer>(*node.value<int64_t>());
  return true;
}

void store(LoadedConfig& loaded, const std::string& place, const Key& key, const toml::node& node,
           const std::string& shown) {
  Origin& origin = loaded.origins.find(key.name)->second;
  origin = {.text = place, .automatic = false};
  if (key.automatic && node.value<std::string>() == "auto") {
    make_automatic(loaded, key);
    return;
  }
  const bool good = std::visit([&](auto* target) { return put(target, key, node); }, key.member(loaded.config));
  if (!good) refuse(place, key, shown);
}

void read_table(LoadedConfig& loaded, const std::string& file, const toml::table& table, const std::string& prefix) {
  for (const auto& [part, node] : table) {
    const std::string name = prefix + std::string(part.str());
    const std::string place = rt::format("{}:{}", file, static_cast<unsigned>(part.source().begin.line));
    const Key* key = find_key(name);
    if (key != nullptr)
      store(loaded, place, *key, node, text_of(node));
    else if (node.is_table() && is_table_name(name))
      read_table(loaded, file, *node.as_table(), name + ".");
    else
      unknown(place, name, "move it above the first table, [" + name.substr(0, name.find('.')) + "]");
  }
}

}  // namespace

LoadedConfig default_config() {
  LoadedConfig loaded;
  for (const Key& key : config_keys()) loaded.origins[std::string(key.name)].automatic = key.automatic;
  return loaded;
}

void make_automatic(LoadedConfig& loaded, const Key& key) {
  Config fresh;
  const auto reset = [&]<class T>(T* target) { *target = *std::get<T*>(key.member(fresh)); };
  std::visit(reset, key.member(loaded.config));
  loaded.origins.find(key.name)->second.automatic = true;
}

std::string read_config_file(LoadedConfig& loaded, const std::string& path) {
  const std::string text = read_whole_file(path, max_bytes, ExitCode::usage);
  if (const int line = too_deep_line(text, max_depth); line > 0)
    fail(ExitCode::usage, "{}:{}: keys and values may nest at most {} deep", path, line, max_depth);
  toml::table root;
  try {
    root = toml::parse(text, path);
  } catch (const toml::parse_error& e) {
    fail(ExitCode::usage, "{}:{}:{}: not valid TOML: {}", path, static_cast<unsigned>(e.source().begin.line),
         static_cast<unsigned>(e.source().begin.column), e.description());
  }
  read_table(loaded, path, root, "");
  loaded.recipe = std::filesystem::path(path).stem().string();
  return text;
}

void override_config(LoadedConfig& loaded, const std::string& setting) {
  const size_t equals = setting.find('=');
  if (equals == std::string::npos || equals == 0)
    fail(ExitCode::usage, "command line: \"{}\" is not key=value", setting);
  const std::string name = setting.substr(0, equals), value = setting.substr(equals + 1);
  const Key* key = find_key(name);
  if (key == nullptr) unknown("command line", name, "write " + name.substr(name.rfind('.') + 1) + "=" + value);
  const bool is_text = std::holds_alternative<std::string*>(key->member(loaded.config));
  toml::table parsed = parse_value(value);
  const toml::node* node = parsed.get("value");
  const bool is_auto = key->automatic && value == "auto";
  if (is_auto || (is_text && (node == nullptr || !node->is_string()))) {  // text and `auto` need no quotes
    parsed = parse_value(quoted_text(value));
    node = parsed.get("value");
    if (node == nullptr) fail(ExitCode::usage, "command line: {} is not UTF-8 text", name);
  }
  if (node == nullptr) refuse("command line", *key, value);
  store(loaded, "command line", *key, *node, value);
}

}  // namespace rt
