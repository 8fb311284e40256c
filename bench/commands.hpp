// The commands of rbench and of `rtrain bench`, in the order of `rbench --help`. `step` is the file bench/step.cpp,
// which defines step_command.
#pragma once
#include "bench/workload.hpp"
#include "tools/verb.hpp"

#define RT_BENCH_COMMANDS(COMMAND) \
  COMMAND(step)                    \
  COMMAND(ops)                     \
  COMMAND(ablate)                  \
  COMMAND(start)                   \
  COMMAND(accuracy)

namespace rt {

#define RT_DECLARE_COMMAND(name) extern const Verb name##_command;
RT_BENCH_COMMANDS(RT_DECLARE_COMMAND)
#undef RT_DECLARE_COMMAND
extern const std::span<const Verb* const> bench_commands;

// `--ablate` is another spelling of the command `ablate`: moves it to the front, where commands stand.
void accept_ablate_option(std::span<char*> words);

template <class Names>
CLI::IsMember one_of(const Names& names) {
  return CLI::IsMember(std::vector<std::string>(names.begin(), names.end()));
}

// What commands have in common: options that say what to measure, optimize.* settings, and --json.
void add_workload(CLI::App& command, WorkloadOptions& o);
void add_settings(CLI::App& command, std::vector<std::string>& settings);
void add_repeats(CLI::App& command, int& repeat, int& steps, const std::string& help);
void add_json(CLI::App& command, bool& json);

bool within_rtrain(const CLI::App& command);  // "rtrain bench step", not "rbench step"

}  // namespace rt
