#include "bench/start.hpp"

#include <memory>
#include <nlohmann/json.hpp>

#include "bench/child.hpp"
#include "bench/commands.hpp"
#include "bench/figures.hpp"

namespace rt {

int run_start_bench(const StartOptions& o) {
  struct Part {
    const char *key, *text;
    std::vector<double> ms = {};
  };
  Part parts[] = {
      {.key = "first_step_after_ms", .text = "process start to the end of the first step"},
      {.key = "startup_ms", .text = "loading the program, probing the machine"},
      {.key = "setup_ms", .text = "network, weights, images"},
      {.key = "weights_ms", .text = "(of these, drawing the weights)"},
      {.key = "plan_ms", .text = "tracing and planning the step"},
      {.key = "first_step_ms", .text = "the first step itself"},
      {.key = "step_ms", .text = "(a warm step)"},
  };
  for (int round = -1; round < o.rounds; ++round) {
    const ChildResult result = run_self(step_words(o.workload, 3, 1, o.within_rtrain));
    if (result.exit_code != 0) fail(static_cast<ExitCode>(result.exit_code), "{}", result.reason);
    const nlohmann::json run = nlohmann::json::parse(result.output);
    if (round < 0) continue;
    for (Part& part : parts) part.ms.push_back(run.at(part.key).get<double>());
  }
  if (o.json) {
    nlohmann::ordered_json j = provenance();
    j.update({{"stem", o.workload.stem}, {"batch", o.workload.batch}, {"rounds", o.rounds}});
    for (const Part& part : parts) {
      const Spread s = spread_of(part.ms);
      j[part.key] = {{"median", s.median}, {"min", s.least}, {"max", s.most}};
    }
    rt::print("{}\n", j.dump());
    return 0;
  }
  rt::print("{}, {} stem, batch {}: medians of {} processes\n", o.workload.arch, o.workload.stem, o.workload.batch,
            o.rounds);
  for (const Part& part : parts) {
    const Spread s = spread_of(part.ms);
    rt::print("{:>8.0f} ms ({:.0f} to {:.0f})  {}\n", s.median, s.least, s.most, part.text);
  }
  return 0;
}

const Verb start_command = {
    .name = "start",
    .help = R"(Time from the start of a process to its first training step.

  {0})",
    .add = [](CLI::App& command) -> std::function<int()> {
      const auto o = std::make_shared<StartOptions>();
      o->within_rtrain = within_rtrain(command);
      add_workload(command, o->workload);
      command.add_option("--rounds", o->rounds, "processes")->check(CLI::Range(1, 1000))->capture_default_str();
      add_settings(command, o->workload.settings);
      add_json(command, o->json);
      return [o] { return run_start_bench(*o); };
    },
};

}  // namespace rt
