#include "bench/commands.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "layers/models.hpp"

namespace rt {
namespace {

#define RT_COMMAND(name) &name##_command,
constexpr const Verb* commands[] = {RT_BENCH_COMMANDS(RT_COMMAND)};

}  // namespace

constinit const std::span<const Verb* const> bench_commands = commands;

void accept_ablate_option(std::span<char*> words) {
  const auto at =
      std::find_if(words.begin(), words.end(), [](const char* word) { return std::string_view(word) == "--ablate"; });
  if (at == words.end()) return;
  std::rotate(words.begin(), at, at + 1);
  words[0] += std::strlen("--");
}

void add_workload(CLI::App& command, WorkloadOptions& o) {
  command.add_option("--stem", o.stem, "cifar (32x32 images) or imagenet (224x224)")->check(one_of(stems));
  command.add_option("--arch", o.arch, "network")->check(one_of(architecture_names()));
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

void add_settings(CLI::App& command, std::vector<std::string>& settings) {
  command.add_option("settings", settings, "optimize.* switches, pin=on")->type_name("key=value");
}

void add_repeats(CLI::App& command, int& repeat, int& steps, const std::string& help) {
  command.add_option("--repeat", repeat, help)->check(CLI::Range(1, 1000))->capture_default_str();
  command.add_option("--steps", steps, "steps in one repeat")->check(CLI::Range(1, 1000))->capture_default_str();
}

void add_json(CLI::App& command, bool& json) { command.add_flag("--json", json, "one JSON object"); }

bool within_rtrain(const CLI::App& command) { return command.get_parent()->get_parent() != nullptr; }

}  // namespace rt
