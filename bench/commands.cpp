#include "bench/commands.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>

#include "bench/ablate.hpp"
#include "bench/accuracy.hpp"
#include "bench/ops.hpp"
#include "bench/start.hpp"
#include "bench/step.hpp"
#include "core/check.hpp"
#include "core/log.hpp"

namespace rt {

namespace {

void add_workload(CLI::App& command, WorkloadOptions& o) {
  command.add_option("--stem", o.stem, "cifar (32x32 images) or imagenet (224x224)")
      ->check(CLI::IsMember({"cifar", "imagenet"}));
  command.add_option("--arch", o.arch, "resnet18, resnet34 or resnet50");
  command.add_option("--batch", o.batch, "images a step")->check(CLI::Range(1, 1 << 20))->capture_default_str();
  command.add_option("--side", o.side, "image side in pixels; 0: the stem's own")->check(CLI::Range(0, 4096));
  command.add_option("--precision", o.precision, "f32, bf16, f16, or auto: what the device prefers")
      ->check(CLI::IsMember({"f32", "bf16", "f16", "auto"}))
      ->take_last();
  command.add_option("--device", o.device, "cpu, cuda, cuda:N or auto");
  command.add_option("--threads", o.threads, "0: as training chooses")->check(CLI::Range(0, 1024));
  command.add_option("--workers", o.workers, "threads that prepare batches; 0: the training thread does")
      ->check(CLI::Range(0, 64))
      ->take_last();
  command.add_option("--prefetch", o.prefetch, "batches that workers prepare ahead")->check(CLI::Range(1, 64));
}

// Options live as long as the command line's callback, which holds them.
template <class Options>
CLI::App* add_command(CLI::App& app, const std::string& name, const std::string& help,
                      const std::shared_ptr<Options>& o) {
  CLI::App* command = app.add_subcommand(name, help);
  add_workload(*command, o->workload);
  return command;
}
// Positional words: key=value is a setting, anything else a name.
void split_words(const std::vector<std::string>& words, std::vector<std::string>& names,
                 std::vector<std::string>& settings) {
  for (const std::string& word : words) (word.find('=') == std::string::npos ? names : settings).push_back(word);
}
void add_settings(CLI::App& command, std::vector<std::string>& settings) {
  command.add_option("settings", settings, "optimize.* switches, pin=on")->type_name("key=value");
}

}  // namespace

void add_bench_commands(CLI::App& app, int& exit_code, bool within_rtrain, Peer (*onednn)()) {
  app.require_subcommand(1);
  const std::string program = within_rtrain ? "rtrain bench" : "rbench";
  {
    auto o = std::make_shared<StepBenchOptions>();
    CLI::App* step = add_command(app, "step",
                                 fmt::format("Time whole training steps on random images.\n\n  {0} step --stem cifar "
                                             "--batch 128\n  {0} step --stem imagenet --batch 32 --json",
                                             program),
                                 o);
    step->add_option("--repeat", o->repeat, "timed repeats")->check(CLI::Range(1, 1000))->capture_default_str();
    step->add_option("--steps", o->steps, "steps in one repeat")->check(CLI::Range(1, 1000))->capture_default_str();
    step->add_option("--beside", o->beside, "also beside so many busy processes, in turns with alone")
        ->check(CLI::Range(0, 1024));
    add_settings(*step, o->workload.settings);
    step->add_flag("--json", o->json, "one JSON object");
    step->callback([&exit_code, o] { exit_code = run_step_bench(*o); });
  }
  {
    auto o = std::make_shared<OpBenchOptions>();
    auto words = std::make_shared<std::vector<std::string>>();
    auto json = std::make_shared<bool>(false);
    auto peer = std::make_shared<std::string>();
    CLI::App* ops = add_command(app, "ops",
                                fmt::format("Time every layer and pass of a training step, beside what the machine can "
                                            "do.\n\n  {0} ops\n  {0} ops conv2d.dw --json\n  {0} ops layer3 --alone "
                                            "optimize.fuse=false",
                                            program),
                                o);
    ops->add_option("words", *words, "part of a step's kind, layer or row; optimize.* switches")
        ->type_name("[FILTER] [key=value]...");
    ops->add_option("--repeat", o->repeat, "training steps")->check(CLI::Range(1, 1000))->capture_default_str();
    ops->add_flag("--alone", o->alone, "each step by itself, again and again, instead of within training steps");
    ops->add_option("--peer", *peer, "convolutions by this library too, each by itself and in turns with ours")
        ->check(CLI::IsMember({"onednn"}));
    ops->add_flag("--json", *json, "one JSON object");
    ops->callback([&exit_code, o, words, json, peer, onednn] {
      std::vector<std::string> filters;
      split_words(*words, filters, o->workload.settings);
      if (filters.size() > 1)
        fail(ExitCode::usage, "rbench ops takes one filter, not both '{}' and '{}'", filters[0], filters[1]);
      if (!filters.empty()) o->filter = filters[0];
      if (!peer->empty() && !onednn) fail(ExitCode::usage, "--peer: only the program rbench links other libraries");
      Peer theirs;
      if (!peer->empty()) theirs = onednn(), o->peer = &theirs;
      exit_code = run_op_bench(*o, *json);
    });
  }
  {
    auto o = std::make_shared<AblateOptions>();
    auto words = std::make_shared<std::vector<std::string>>();
    CLI::App* ablate = add_command(app, "ablate",
                                   fmt::format("Time a training step with each optimisation alone, together with those "
                                               "before it, and left out.\n\n  {0} ablate\n  {0} ablate fuse winograd "
                                               "--batch 32 --json\n\n{0} --ablate is the same.",
                                               program),
                                   o);
    ablate->add_option("words", *words, "optimisations to look at (all where none is named); optimize.* switches")
        ->type_name("[NAME]... [key=value]...");
    ablate->add_option("--rounds", o->rounds, "processes for each configuration")
        ->check(CLI::Range(1, 100))
        ->capture_default_str();
    ablate->add_option("--repeat", o->repeat, "timed repeats in each")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    ablate->add_option("--steps", o->steps, "steps in one repeat")->check(CLI::Range(1, 1000))->capture_default_str();
    ablate->add_flag("--json", o->json, "one JSON object");
    o->within_rtrain = within_rtrain;
    ablate->callback([&exit_code, o, words] {
      split_words(*words, o->names, o->workload.settings);
      exit_code = run_ablation(*o);
    });
  }
  {
    auto o = std::make_shared<StartOptions>();
    CLI::App* start = add_command(
        app, "start",
        fmt::format("Time from the start of a process to its first training step.\n\n  {} start", program), o);
    start->add_option("--rounds", o->rounds, "processes")->check(CLI::Range(1, 1000))->capture_default_str();
    add_settings(*start, o->workload.settings);
    start->add_flag("--json", o->json, "one JSON object");
    o->within_rtrain = within_rtrain;
    start->callback([&exit_code, o] { exit_code = run_start_bench(*o); });
  }
  {
    auto o = std::make_shared<AccuracyOptions>();
    CLI::App* accuracy = app.add_subcommand(
        "accuracy",
        fmt::format("Compare convolutions of ResNet-18 on random numbers with sums in f64.\n\n  {} accuracy "
                    "--stem imagenet",
                    program));
    accuracy->add_option("--stem", o->stem, "cifar (32x32 images) or imagenet (224x224)")
        ->check(CLI::IsMember({"cifar", "imagenet"}));
    accuracy->add_option("--batch", o->images, "images")->check(CLI::Range(1, 1024))->capture_default_str();
    accuracy->add_flag("--json", o->json, "one JSON object");
    accuracy->callback([&exit_code, o] { exit_code = run_accuracy(*o); });
  }
}

void accept_ablate_option(int argc, char** argv, int first) {
  for (int i = first; i < argc; ++i)
    if (std::string_view(argv[i]) == "--ablate") {
      std::rotate(argv + first, argv + i, argv + i + 1);
      argv[first] += std::strlen("--");
      return;
    }
}

int run_main(const std::function<int()>& f) {
  try {
    return f();
  } catch (const Error& e) {
    log_status("");
    log_error("{}", e.what());
    return static_cast<int>(e.code());
  } catch (const std::bad_alloc&) {
    log_error("out of memory; a smaller train.batch needs less");
    return static_cast<int>(ExitCode::device);
  } catch (const std::exception& e) {
    log_status("");
    log_error("{}", e.what());
    return static_cast<int>(ExitCode::runtime);
  }
}

}  // namespace rt
