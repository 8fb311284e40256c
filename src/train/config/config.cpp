// Reading a configuration: TOML and key=value into Config, every mistake as one sentence.
// Every value is stored through the table of keys: the file and the command line cannot differ in what they allow.
#include "train/config/config.hpp"

#include <toml++/toml.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <sstream>

#include "core/check.hpp"
#include "train/config/config_keys.hpp"
#include "train/config/toml_depth.hpp"
#include "train/files/files.hpp"

namespace rt {
namespace {

constexpr size_t max_file_bytes = 64 * 1024;
constexpr int max_depth = 8;

class Loader {
 public:
  Loader() {
    for (const Key& key : config_keys()) loaded_.origins[std::string(key.name)].automatic = key.automatic;
  }

  void read_file(const std::string& path, bool saved_by_a_run) {
    const std::string text = read_whole_file(path, max_file_bytes, ExitCode::usage);
    if (const int line = too_deep_line(text, max_depth); line > 0)
      fail(ExitCode::usage, "{}:{}: keys and values may nest at most {} deep", path, line, max_depth);
    toml::table root;
    try {
      root = toml::parse(text, path);
    } catch (const toml::parse_error& e) {
      fail(ExitCode::usage, "{}:{}:{}: not valid TOML: {}", path, static_cast<unsigned>(e.source().begin.line),
           static_cast<unsigned>(e.source().begin.column), e.description());
    }
    read_table(path, root, "");
    loaded_.recipe = std::filesystem::path(path).stem().string();
    if (saved_by_a_run) recall_origins(path, text);
  }

  void override_with(const std::string& setting) {
    const size_t equals = setting.find('=');
    if (equals == std::string::npos || equals == 0)
      fail(ExitCode::usage, "command line: \"{}\" is not key=value", setting);
    const std::string name = setting.substr(0, equals), value = setting.substr(equals + 1);
    const Key* key = find_key(name);
    if (key == nullptr) unknown("command line", name, "write " + name.substr(name.rfind('.') + 1) + "=" + value);
    const Slot slot = key->slot(loaded_.config);
    const bool is_text = std::holds_alternative<std::string*>(slot);
    toml::table parsed = parse_value(value);
    const toml::node* node = parsed.get("value");
    const bool is_auto = key->automatic && value == "auto";
    if (is_auto || (is_text && (node == nullptr || !node->is_string()))) {  // text and `auto` need no quotes
      parsed = parse_value(quoted_text(value));
      node = parsed.get("value");
      if (node == nullptr) fail(ExitCode::usage, "command line: {} is not UTF-8 text", name);
    }
    if (node == nullptr) refuse("command line", *key, value);
    store("command line", *key, *node, value);
  }

  const Config& config() const { return loaded_.config; }

  // What no single key shows.
  LoadedConfig checked() {
    const Config& c = loaded_.config;
    const auto where = [&](std::string_view key) { return loaded_.origins.find(key)->second.text; };
    if (!is_device_name(c.device))
      fail(ExitCode::usage, "{}: device = \"{}\": must be cpu, cuda, cuda:N or auto", where("device"), c.device);
    const auto& milestones = c.schedule.milestones;
    if (c.schedule.name == "multistep" && milestones.empty())
      fail(ExitCode::usage, "{}: schedule.name = \"multistep\" needs schedule.milestones, as [15, 25]",
           where("schedule.name"));
    if (std::adjacent_find(milestones.begin(), milestones.end(), std::greater_equal<>()) != milestones.end())
      fail(ExitCode::usage, "{}: schedule.milestones = {} must rise", where("schedule.milestones"),
           value_text(c, *find_key("schedule.milestones")));
    if (c.optimizer.nesterov && c.optimizer.momentum == 0)
      fail(ExitCode::usage, "{}: optimizer.momentum = 0 leaves optimizer.nesterov without effect; set it to false",
           where("optimizer.momentum"));
    return std::move(loaded_);
  }

 private:
  void read_table(const std::string& file, const toml::table& table, const std::string& prefix) {
    for (const auto& [part, node] : table) {
      const std::string name = prefix + std::string(part.str());
      const std::string place = rt::format("{}:{}", file, static_cast<unsigned>(part.source().begin.line));
      const Key* key = find_key(name);
      if (key != nullptr)
        store(place, *key, node, text_of(node));
      else if (node.is_table() && is_table_name(name))
        read_table(file, *node.as_table(), name + ".");
      else
        unknown(place, name, "move it above the first table, [" + name.substr(0, name.find('.')) + "]");
    }
  }

  static bool is_table_name(std::string_view name) {
    return std::any_of(config_keys().begin(), config_keys().end(), [&](const Key& key) {
      return key.name.size() > name.size() && key.name.substr(0, name.size()) == name && key.name[name.size()] == '.';
    });
  }

  [[noreturn]] static void unknown(const std::string& place, const std::string& name,
                                   const std::string& top_level_advice) {
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

  [[noreturn]] static void refuse(const std::string& place, const Key& key, std::string_view value) {
    const std::string shown = value.size() <= 60 ? std::string(value) : std::string(value.substr(0, 57)) + "...";
    fail(ExitCode::usage, "{}: {} = {}: must be {}", place, key.name, shown, allowed_text(key));
  }

  static std::string text_of(const toml::node& node) {
    if (node.is_string()) return quoted_text(**node.as_string());
    std::ostringstream out;
    node.visit([&](const auto& value) { out << value; });
    return out.str();
  }

  static std::string quoted_text(const std::string& text) {
    Config scratch;
    scratch.run.dir = text;
    return value_text(scratch, *find_key("run.dir"));
  }

  // {"value": …}, or an empty table where the text is not exactly one TOML value.
  static toml::table parse_value(const std::string& text) {
    if (text.size() > max_file_bytes || text.find('\n') != std::string::npos || too_deep_line(text, max_depth) > 0)
      return {};
    try {
      return toml::table(toml::parse("value = " + text));
    } catch (const toml::parse_error&) {
      return {};
    }
  }

  // Writes the node's value into the key's member, if the type and the range are right.
  void store(const std::string& place, const Key& key, const toml::node& node, const std::string& shown) {
    Origin& origin = loaded_.origins.find(key.name)->second;
    origin = {place, false};
    if (key.automatic && node.value<std::string>() == "auto") {
      Config fresh;
      assign(key.slot(loaded_.config), key.slot(fresh));
      origin.automatic = true;
      return;
    }
    const auto in_range = [&](double value) { return value >= key.low && value <= key.high; };  // false for NaN
    const bool good = std::visit(
        [&]<class T>(T* target) {
          if constexpr (std::is_same_v<T, std::vector<double>>) {
            if (!node.is_array()) return false;
            target->clear();
            for (const toml::node& item : *node.as_array()) {
              if (!item.is_number() || !in_range(*item.value<double>())) return false;
              target->push_back(*item.value<double>());
            }
            return true;
          } else if constexpr (std::is_same_v<T, bool>) {
            if (!node.is_boolean()) return false;
            *target = **node.as_boolean();
            return true;
          } else if constexpr (std::is_same_v<T, std::string>) {
            if (!node.is_string()) return false;
            *target = **node.as_string();
            return key.choices.empty() ||
                   std::find(key.choices.begin(), key.choices.end(), *target) != key.choices.end();
          } else {
            if (!(std::is_same_v<T, double> ? node.is_number() : node.is_integer())) return false;
            const double value = *node.value<double>();
            if (!in_range(value)) return false;
            *target = std::is_same_v<T, double> ? static_cast<T>(value) : static_cast<T>(*node.value<int64_t>());
            return true;
          }
        },
        key.slot(loaded_.config));
    if (!good) refuse(place, key, shown);
  }

  static void assign(Slot to, Slot from) {
    std::visit([&]<class T>(T* target) { *target = *std::get<T*>(from); }, to);
  }

  // The origin that to_toml() wrote behind a value. What was chosen for the machine is chosen again on this one.
  void recall_origins(const std::string& path, const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    for (auto& [name, origin] : loaded_.origins) {
      if (origin.text.rfind(path + ":", 0) != 0) continue;
      const std::string& line = lines.at(std::stoul(origin.text.substr(path.size() + 1)) - 1);
      const size_t comment = line.rfind("  # ");
      if (comment == std::string::npos) continue;
      origin.text = line.substr(comment + 4);
      const Key& key = *find_key(name);
      const bool of_the_machine = key.automatic && key.on_resume == OnResume::free;
      if (of_the_machine && origin.text.rfind("auto: ", 0) == 0) {
        Config fresh;
        assign(key.slot(loaded_.config), key.slot(fresh));
        origin.automatic = true;
      }
    }
  }

  LoadedConfig loaded_;
};

}  // namespace

LoadedConfig load_config(const std::string& path, const std::vector<std::string>& overrides) {
  Loader loader;
  if (!path.empty()) loader.read_file(path, false);
  for (const std::string& setting : overrides) loader.override_with(setting);
  return loader.checked();
}

LoadedConfig load_resumed_config(const std::string& path, const std::vector<std::string>& overrides) {
  Loader saved, wanted;
  saved.read_file(path, true);
  wanted.read_file(path, true);
  for (const std::string& setting : overrides) wanted.override_with(setting);
  LoadedConfig result = wanted.checked();
  const std::vector<RefusedChange> refused = refused_on_resume(saved.config(), result.config);
  if (!refused.empty())
    fail(ExitCode::usage, "command line: {} = {}: the run has {} and {}", refused[0].key, refused[0].after,
         refused[0].before, refused[0].reason);
  return result;
}

}  // namespace rt
