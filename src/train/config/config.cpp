#include "train/config/config.hpp"

#include <algorithm>
#include <functional>

#include "core/check.hpp"
#include "train/config/config_read.hpp"

namespace rt {

void check_config(const LoadedConfig& loaded) {
  const Config& c = loaded.config;
  const auto where = [&](std::string_view key) { return loaded.origins.find(key)->second.text; };
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
}

LoadedConfig load_config(const std::string& path, const std::vector<std::string>& overrides) {
  LoadedConfig loaded = default_config();
  if (!path.empty()) read_config_file(loaded, path);
  for (const std::string& setting : overrides) override_config(loaded, setting);
  check_config(loaded);
  return loaded;
}

}  // namespace rt
