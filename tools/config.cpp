// rtrain config: what every setting is, and why.
#include <memory>

#include "core/check.hpp"
#include "tools/verbs.hpp"
#include "tools/words.hpp"
#include "train/config/settings_page.hpp"
#include "train/session.hpp"

namespace rt {
namespace {

struct Options {
  std::vector<std::string> words;
  std::string file;
  bool origin = false, markdown = false;
};

int run(const Options& o) {
  if (o.markdown) {
    if (!o.words.empty() || !o.file.empty() || o.origin)
      fail(ExitCode::usage,
           "config --markdown describes the settings and shows no values: give no other words with it");
    rt::print("{}", settings_page());
    return 0;
  }
  const Words words = split_words(o.words);
  std::vector<std::string> settings = words.settings;
  if (const std::string dir = one_data_folder(words.names); !dir.empty())
    settings.insert(settings.begin(), "data.dir=" + dir);
  LoadedConfig loaded = load_config(o.file, settings);
  if (!loaded.config.data.dir.empty()) {
    // Everything that depends on the data and the model is decided as in training.
    loaded = open_session(loaded, Purpose::describe)->loaded;
  } else {
    const DeviceChoice device = choose_device(loaded.config.device, loaded.origins.find("device")->second.text);
    resolve_auto(loaded, {.machine = machine(), .device = device});
  }
  rt::print("{}", config_table(loaded, o.origin));
  return 0;
}

std::function<int()> add(CLI::App& command) {
  const auto o = std::make_shared<Options>();
  command.add_option("words", o->words, "DIR (then `auto` is resolved for its images), and settings")
      ->type_name("[DIR] [key=value]...");
  command.add_option("-c,--config", o->file, "TOML file with settings")->type_name("FILE");
  command.add_flag("--origin", o->origin, "also where each value comes from");
  command.add_flag("--markdown", o->markdown, "all settings explained, as the page docs/settings.md");
  return [o] { return run(*o); };
}

}  // namespace

const Verb config_verb = {
    .name = "config",
    .help = R"(Show every setting and its value.

  rtrain config --origin
  rtrain config DIR -c FILE key=value --origin)",
    .add = add,
};

}  // namespace rt
