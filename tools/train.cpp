// rtrain train: a new run, or the continuation of one.
#include "train/train.hpp"

#include <memory>

#include "core/check.hpp"
#include "tools/verbs.hpp"
#include "tools/words.hpp"

namespace rt {
namespace {

std::function<int()> add(CLI::App& command) {
  struct Options {
    TrainRequest request;
    std::vector<std::string> words;
  };
  const auto o = std::make_shared<Options>();
  TrainRequest& request = o->request;
  command.add_option("words", o->words, "DIR with images, and settings as key=value")
      ->type_name("[DIR] [key=value]...");
  command.add_option("-c,--config", request.config_file, "TOML file with settings")->type_name("FILE");
  command.add_option("--resume", request.resume, "continue this run folder")->type_name("RUN");
  command.add_flag("--dry-run", request.dry_run, "resolve and plan everything, train nothing");
  command.add_flag("--explain", request.explain, "print which implementation computes each step, and why");
  return [o] {
    const Words words = split_words(o->words);
    o->request.data_dir = one_data_folder(words.names);
    o->request.overrides = words.settings;
    if (!o->request.resume.empty() && (!o->request.data_dir.empty() || !o->request.config_file.empty()))
      fail(ExitCode::usage,
           "--resume takes its data and configuration from the run folder; give only key=value with it");
    return train(o->request);
  };
}

}  // namespace

const Verb train_verb = {
    .name = "train",
    .help = R"(Train a model.

  rtrain train DIR
  rtrain train DIR -c configs/cifar10.toml train.batch=64 optimizer.lr=0.05
  rtrain train --resume runs/latest train.epochs=60)",
    .add = add,
};

}  // namespace rt
