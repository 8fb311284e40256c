// A verb of a program: `train` of rtrain, `step` of rbench. A verb is one file that defines it; the program lists it.
// What all verbs have in common is done here: help, errors in words and options, exit codes.
#pragma once
#include <CLI/CLI.hpp>
#include <functional>
#include <span>
#include <string>

namespace rt {

struct Verb {
  const char* name;
  const char* help;  // one sentence; examples follow it, in which {0} stands for the words so far: "rtrain bench step"
  // Declares options and positional words. What it returns runs once they are parsed; its result is the exit code.
  std::function<int()> (*add)(CLI::App& command) = nullptr;
  std::span<const Verb* const> verbs = {};  // in place of `add`: one of these must follow
  // Puts words that may be spelled in another way into the usual one.
  void (*rewrite)(std::span<char*> words) = nullptr;
};

// Runs the verb that the words name and returns the process's exit code. What goes wrong is said on stderr: an Error
// gives its own code, a wrong word ExitCode::usage, too little memory ExitCode::device. A program is a verb of verbs.
int run_program(const Verb& program, int argc, char** argv);

// Throws Error(usage), with the nearest name, where the first of the words should be a verb and is none.
void check_verb(const Verb& program, std::span<char*> words);

}  // namespace rt
