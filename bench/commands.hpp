// The benchmark command line, shared by rbench and `rtrain bench`.
#pragma once
#include <CLI/CLI.hpp>
#include <functional>

namespace rt {

void add_bench_commands(CLI::App& app, int& exit_code);

// Runs f and turns what it throws into a sentence on stderr and the exit code that belongs to it.
int run_main(const std::function<int()>& f);

}  // namespace rt
