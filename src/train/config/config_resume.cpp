// The configuration with which a run goes on: what is kept, what is chosen again, and what may not differ.
#include <sstream>

#include "core/check.hpp"
#include "train/config/config_read.hpp"

namespace rt {
namespace {

// The origin that to_toml() wrote behind a value. What was chosen for the machine is chosen again on this one.
void recall_origins(LoadedConfig& loaded, const std::string& path, const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  for (auto& [name, origin] : loaded.origins) {
    if (origin.text.rfind(path + ":", 0) != 0) continue;
    const std::string& line = lines.at(std::stoul(origin.text.substr(path.size() + 1)) - 1);
    const size_t comment = line.rfind("  # ");
    if (comment == std::string::npos) continue;
    origin.text = line.substr(comment + 4);
    const Key& key = *find_key(name);
    const bool again = key.of_the_machine && key.on_resume == OnResume::free;
    if (again && origin.text.rfind("auto: ", 0) == 0) make_automatic(loaded, key);
  }
}

LoadedConfig saved_config(const std::string& path) {
  LoadedConfig loaded = default_config();
  const std::string text = read_config_file(loaded, path);
  recall_origins(loaded, path, text);
  return loaded;
}

}  // namespace

std::vector<RefusedChange> refused_on_resume(const Config& saved, const Config& wanted) {
  std::vector<RefusedChange> refused;
  for (const Key& key : config_keys()) {
    const std::string before = value_text(saved, key), after = value_text(wanted, key);
    if (before == after || key.on_resume == OnResume::free) continue;
    std::string reason = "a run that goes on cannot change it; start a new run instead";
    if (key.on_resume == OnResume::longer) {
      const bool steps = key.name == "train.steps";
      const int64_t old_length = steps ? saved.train.steps : saved.train.epochs;
      const int64_t new_length = steps ? wanted.train.steps : wanted.train.epochs;
      // 0 steps means "by epochs": no longer or shorter than a number of steps.
      if (old_length > 0 && new_length > old_length) continue;
      reason = old_length == 0 || new_length == 0 ? "a run that goes on cannot change between epochs and steps"
                                                  : "a run that goes on can only become longer";
    }
    refused.push_back({.key = std::string(key.name), .before = before, .after = after, .reason = reason});
  }
  return refused;
}

LoadedConfig load_resumed_config(const std::string& path, const std::vector<std::string>& overrides) {
  const LoadedConfig saved = saved_config(path);
  LoadedConfig wanted = saved;
  for (const std::string& setting : overrides) override_config(wanted, setting);
  check_config(wanted);
  const std::vector<RefusedChange> refused = refused_on_resume(saved.config, wanted.config);
  if (!refused.empty())
    fail(ExitCode::usage, "command line: {} = {}: the run has {} and {}", refused[0].key, refused[0].after,
         refused[0].before, refused[0].reason);
  return wanted;
}

}  // namespace rt
