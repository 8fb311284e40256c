// rtrain, the program: what it says of itself, and its verbs (listed in tools/verbs.hpp, a file each beside it).
#include "core/threads.hpp"
#include "tools/verbs.hpp"

namespace {

constexpr const char* help = R"(rtrain trains image classifiers. For example:

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

#define RT_VERB(name) &rt::name##_verb,
constexpr const rt::Verb* verbs[] = {RT_VERBS(RT_VERB)};

}  // namespace

int main(int argc, char** argv) {
  rt::limit_waiting(argv);
  return rt::run_program({.name = "rtrain", .help = help, .verbs = verbs}, argc, argv);
}
