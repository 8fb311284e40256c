// rtrain eval: a run (its best model) or a model file, on the test images or a run's held-out ones.
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/log.hpp"
#include "tools/verbs.hpp"
#include "train/run_folder.hpp"
#include "train/session.hpp"
#include "train/signals.hpp"

namespace rt {

int run_eval(const std::string& model, const std::vector<std::string>& overrides, bool json) {
  install_stop_handlers();
  const bool is_run = std::filesystem::is_directory(model);
  if (!is_run && !std::filesystem::exists(model))
    fail(ExitCode::usage, "{}: there is no such run folder or model file", model);
  std::string path = model;
  LoadedConfig loaded;
  if (is_run) {
    const RunFolder folder = open_run_folder(model);
    path = folder.best;
    if (!std::filesystem::exists(path))
      fail(ExitCode::data, "{}: no model yet; it appears after the first evaluation", path);
    // Of this machine, not of the one that trained; in the run's precision where the device has it.
    std::vector<std::string> here = {"threads=auto",        "data.workers=auto",      "device=auto",
                                     "optimize.graph=auto", "optimize.resident=auto", "optimize.layout=auto"};
    std::string device = "auto";
    for (const std::string& setting : overrides)
      if (setting.starts_with("device=")) device = setting.substr(7);
    const Target target = choose_device(device, "command line").target;
    if (!precision_problem(target, dtype_named(load_config(folder.config, {}).config.precision)).empty())
      here.push_back("precision=f32");
    here.insert(here.end(), overrides.begin(), overrides.end());
    loaded = load_config(folder.config, here);
  } else {
    loaded = load_config("", overrides);
  }
  const SafetensorsFile file = SafetensorsFile::open(path);
  ModelInfo info = read_model_info(file);
  loaded.config.model.arch = info.net.arch;
  loaded.config.model.stem = info.net.stem;
  loaded.origins["model.arch"] = loaded.origins["model.stem"] = {path, false};
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
  const EvalResult r = evaluate(*session->executor, loader, "evaluation");
  if (stop_signal() != 0) return 128 + stop_signal();
  const double n = static_cast<double>(r.images);
  if (json)
    rt::print("{}\n", nlohmann::json{{"images", r.images},
                                     {"loss", r.loss_sum / n},
                                     {"top1", static_cast<double>(r.top1) / n},
                                     {"top5", static_cast<double>(r.top5) / n}}
                          .dump());
  else
    rt::print("{}: {} images, loss {:.4f}, top-1 {:.2f} %, top-5 {:.2f} %\n", path, r.images, r.loss_sum / n,
              100 * static_cast<double>(r.top1) / n, 100 * static_cast<double>(r.top5) / n);
  return 0;
}

}  // namespace rt
