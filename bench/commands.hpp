// The benchmark command line, shared by rbench and `rtrain bench`.
#pragma once
#include <CLI/CLI.hpp>
#include <functional>

#include "bench/peer.hpp"

namespace rt {

// onednn: null where the program does not link it. within_rtrain: `app` is a verb of rtrain.
void add_bench_commands(CLI::App& app, int& exit_code, bool within_rtrain, Peer (*onednn)() = nullptr);

// `--ablate` is another spelling of the verb `ablate`: moves it to argv[first], where verbs stand.
void accept_ablate_option(int argc, char** argv, int first);

// Runs f and turns what it throws into a sentence on stderr and the exit code that belongs to it.
int run_main(const std::function<int()>& f);

}  // namespace rt
