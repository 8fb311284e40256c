// rtrain's command line. The verbs' bodies are in src/train and in the files beside this one.
#include <CLI/CLI.hpp>

#include "bench/commands.hpp"
#include "core/check.hpp"
#include "core/threads.hpp"
#include "data/synth.hpp"
#include "tools/gradcheck.hpp"
#include "tools/verbs.hpp"
#include "train/train.hpp"

namespace {

constexpr const char* examples = R"(rtrain trains ResNets on images. For example:

  rtrain synth --out data/synth                     write a small data set to try things with
  rtrain train data/synth train.epochs=3            train on it
  rtrain train DIR -c configs/cifar10.toml          train on CIFAR-10 binaries with a recipe
  rtrain train --resume runs/latest                 go on after an interruption, bit for bit
  rtrain eval runs/latest                           accuracy of a run's best model
  rtrain config DIR --origin                        every setting, its value, and why it has it
  rtrain info                                       what this machine offers and what rtrain will use
  rtrain doctor                                     what is missing, where a GPU is not used

Results go to stdout, narration to stderr. Exit codes: 0 ok, 1 run-time error, 2 usage or configuration, 3 data,
4 device or memory, 5 training diverged, 130/143 stopped by a signal after saving.)";

// Positional words of `train` and `config`: key=value is an override, anything else the data folder.
void split_words(const std::vector<std::string>& words, std::string& data, std::vector<std::string>& overrides) {
  for (const std::string& word : words) {
    if (word.find('=') != std::string::npos)
      overrides.push_back(word);
    else if (data.empty())
      data = word;
    else
      rt::fail(rt::ExitCode::usage, "two data folders, '{}' and '{}': name one; settings are written key=value", data,
               word);
  }
}

int run(int argc, char** argv) {
  CLI::App app{examples, "rtrain"};
  app.set_version_flag("--version", RT_VERSION);
  app.require_subcommand(1);
  int code = 0;

  rt::TrainRequest request;
  std::vector<std::string> words;
  CLI::App* train = app.add_subcommand("train",
                                       "Train a model.\n\n  rtrain train DIR\n  rtrain train DIR -c "
                                       "configs/cifar10.toml train.batch=64 optimizer.lr=0.05\n"
                                       "  rtrain train --resume runs/latest train.epochs=60");
  train->add_option("words", words, "DIR with CIFAR binaries, and settings as key=value")
      ->type_name("[DIR] [key=value]...");
  train->add_option("-c,--config", request.config_file, "TOML file with settings")->type_name("FILE");
  train->add_option("--resume", request.resume, "continue this run folder")->type_name("RUN");
  train->add_flag("--dry-run", request.dry_run, "resolve and plan everything, train nothing");
  train->add_flag("--explain", request.explain, "print which implementation computes each step, and why");
  train->callback([&] {
    split_words(words, request.data_dir, request.overrides);
    if (!request.resume.empty() && (!request.data_dir.empty() || !request.config_file.empty()))
      rt::fail(rt::ExitCode::usage,
               "--resume takes its data and configuration from the run folder; give only key=value with it");
    code = rt::train(request);
  });

  std::string model;
  std::vector<std::string> overrides;
  bool json = false;
  CLI::App* eval = app.add_subcommand("eval",
                                      "Evaluate a run's best model, or a model file.\n\n  rtrain eval runs/latest\n  "
                                      "rtrain eval model.safetensors data.dir=DIR --json");
  eval->add_option("model", model, "run folder or safetensors file")->required()->type_name("RUN|FILE");
  eval->add_option("overrides", overrides, "settings")->type_name("key=value");
  eval->add_flag("--json", json, "one JSON object, accuracies as fractions");
  eval->callback([&] { code = rt::run_eval(model, overrides, json); });

  rt::SynthOptions synth_options;
  std::string out;
  CLI::App* synth = app.add_subcommand("synth",
                                       "Write a synthetic data set of ten drawn classes, in CIFAR-10's binary "
                                       "format.\n\n  rtrain synth --out data/synth");
  synth->add_option("--out", out, "folder to write to")->required()->type_name("DIR");
  synth->add_option("--train", synth_options.train, "training images")->capture_default_str();
  synth->add_option("--test", synth_options.test, "test images")->capture_default_str();
  synth->add_option("--seed", synth_options.seed, "same seed, same bytes")->capture_default_str();
  synth->callback([&] { rt::write_synthetic(out, synth_options); });

  std::string config_file;
  bool origin = false;
  CLI::App* config = app.add_subcommand(
      "config",
      "Show every setting and its value.\n\n  rtrain config --origin\n  rtrain config DIR -c FILE key=value --origin");
  config->add_option("words", words, "DIR (then `auto` is resolved for its images), and settings")
      ->type_name("[DIR] [key=value]...");
  config->add_option("-c,--config", config_file, "TOML file with settings")->type_name("FILE");
  config->add_flag("--origin", origin, "also where each value comes from");
  config->callback([&] {
    std::string dir;
    std::vector<std::string> settings;
    split_words(words, dir, settings);
    if (!dir.empty()) settings.insert(settings.begin(), "data.dir=" + dir);
    code = rt::run_config(config_file, settings, origin);
  });

  CLI::App* info = app.add_subcommand("info", "Show the machine, and what rtrain uses of it.");
  info->add_flag("--json", json, "as JSON");
  info->callback([&] { code = rt::run_info(json); });
  CLI::App* doctor = app.add_subcommand(
      "doctor",
      "Check one by one what training here needs, and say what to install.\n\nExit code 4 where a GPU was meant to be used and cannot be.");
  doctor->callback([&] { code = rt::run_doctor(); });

  std::vector<std::string> ops;
  CLI::App* gradcheck = app.add_subcommand("gradcheck",
                                           "Compare every op's gradient with finite differences in f64.\n\n  rtrain "
                                           "gradcheck\n  rtrain gradcheck conv2d batch_norm");
  gradcheck->add_option("ops", ops, "ops to check; all if none is named")->type_name("OP");
  gradcheck->add_flag("--json", json, "as JSON");
  gradcheck->callback([&] { code = rt::run_gradcheck(ops, json); });

  CLI::App* bench =
      app.add_subcommand("bench", "Measure training steps, and what is in them (also as the program rbench).");
  rt::add_bench_commands(*bench, code, true);
  if (argc > 1 && std::string_view(argv[1]) == "bench") rt::accept_ablate_option(argc, argv, 2);

  if (argc > 1 && argv[1][0] != '-') {  // CLI11 would only say that a verb is missing
    bool known = false;
    std::string verbs;
    for (const CLI::App* verb : app.get_subcommands({})) {
      known |= verb->get_name() == argv[1];
      verbs += " " + verb->get_name();
    }
    if (!known) rt::fail(rt::ExitCode::usage, "there is no verb '{}'; rtrain knows:{}", argv[1], verbs);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : static_cast<int>(rt::ExitCode::usage);
  }
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  rt::limit_waiting(argv);
  return rt::run_main([&] { return run(argc, argv); });
}
