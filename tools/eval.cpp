// rtrain eval: evaluates a run's best model, or a model file, on the test images or a run's held-out ones.
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/check.hpp"
#include "tools/verbs.hpp"
#include "train/config/config_keys.hpp"
#include "train/run_folder.hpp"
#include "train/session.hpp"
#include "train/signals.hpp"

namespace rt {
namespace {

struct Options {
  std::string model;
  std::vector<std::string> overrides;
  bool json = false;
};

// A run's configuration for this machine in place of the one that trained. The run's precision stays where the device
// has it.
LoadedConfig config_of_run(const RunFolder& folder, const std::vector<std::string>& overrides) {
  std::vector<std::string> here = chosen_by_the_machine();
  std::string device = "auto";
  for (const std::string& setting : overrides)
    if (setting.starts_with("device=")) device = setting.substr(7);
  const Target target = choose_device(device, "command line").target;
  if (!precision_problem(target, dtype_named(load_config(folder.config, {}).config.precision)).empty())
    here.push_back("precision=f32");
  here.insert(here.end(), overrides.begin(), overrides.end());
  return load_config(folder.config, here);
}

struct Evaluated {
  std::string path;  // of the model
  LoadedConfig loaded;
};
Evaluated find(const Options& o) {
  if (!std::filesystem::is_directory(o.model)) {
    if (!std::filesystem::exists(o.model))
      fail(ExitCode::usage, "{}: there is no such run folder or model file", o.model);
    return {.path = o.model, .loaded = load_config("", o.overrides)};
  }
  const RunFolder folder = open_run_folder(o.model);
  if (!std::filesystem::exists(folder.best))
    fail(ExitCode::data, "{}: no model yet; it appears after the first evaluation", folder.best);
  return {.path = folder.best, .loaded = config_of_run(folder, o.overrides)};
}

void print(const std::string& path, const EvalResult& r, bool json) {
  const double n = static_cast<double>(r.images), loss = r.loss_sum / n;
  const double top1 = static_cast<double>(r.top1) / n, top5 = static_cast<double>(r.top5) / n;
  if (json)
    rt::print("{}\n", nlohmann::json{{"images", r.images}, {"loss", loss}, {"top1", top1}, {"top5", top5}}.dump());
  else
    rt::print("{}: {} images, loss {:.4f}, top-1 {:.2f} %, top-5 {:.2f} %\n", path, r.images, loss, 100 * top1,
              100 * top5);
}

int run(const Options& o) {
  install_stop_handlers();
  auto [path, loaded] = find(o);
  const SafetensorsFile file = SafetensorsFile::open(path);
  ModelInfo info = read_model_info(file);
  loaded.config.model.arch = info.net.arch;
  loaded.config.model.stem = info.net.stem;
  for (const char* key : {"model.arch", "model.stem"}) loaded.origins[key] = {.text = path, .automatic = false};
  loaded.config.model.weights.clear();

  const auto session = open_session(loaded, Purpose::evaluate, &info);
  if (!session) return 128 + stop_signal();
  const DatasetInfo& data = session->data.train->info();
  if (info.net.classes != data.classes)
    fail(ExitCode::data, "{} has {} classes, {} has {}", path, info.net.classes, session->config().data.dir,
         data.classes);
  if (!session->eval_data)
    fail(ExitCode::data,
         "{}: no test images to evaluate on; data.val_fraction=0.1 holds out a part of the training set",
         session->config().data.dir);
  load_weights(file, *session->net, *session->state, Head::must_fit);
  Loader loader(*session->eval_data, eval_loader_options(*session));
  const EvalResult result = evaluate(*session->executor, loader, "evaluation");
  if (stop_signal() != 0) return 128 + stop_signal();
  print(path, result, o.json);
  return 0;
}

std::function<int()> add(CLI::App& command) {
  const auto o = std::make_shared<Options>();
  command.add_option("model", o->model, "run folder or safetensors file")->required()->type_name("RUN|FILE");
  command.add_option("overrides", o->overrides, "settings")->type_name("key=value");
  command.add_flag("--json", o->json, "one JSON object, accuracies as fractions");
  return [o] { return run(*o); };
}

}  // namespace

const Verb eval_verb = {
    .name = "eval",
    .help = R"(Evaluate a run's best model, or a model file.

  rtrain eval runs/latest
  rtrain eval model.safetensors data.dir=DIR --json)",
    .add = add,
};

}  // namespace rt
