// rtrain synth: a data set to try things with.
#include "data/synth.hpp"

#include <memory>

#include "tools/verbs.hpp"

namespace rt {
namespace {

std::function<int()> add(CLI::App& command) {
  struct Options {
    std::string out;
    SynthOptions synth;
  };
  const auto o = std::make_shared<Options>();
  command.add_option("--out", o->out, "folder to write to")->required()->type_name("DIR");
  command.add_option("--train", o->synth.train, "training images")->capture_default_str();
  command.add_option("--test", o->synth.test, "test images")->capture_default_str();
  command.add_option("--seed", o->synth.seed, "same seed, same bytes")->capture_default_str();
  return [o] {
    write_synthetic(o->out, o->synth);
    return 0;
  };
}

}  // namespace

const Verb synth_verb = {
    .name = "synth",
    .help = R"(Write a synthetic data set of ten drawn classes, in CIFAR-10's binary format.

  rtrain synth --out data/synth)",
    .add = add,
};

}  // namespace rt
