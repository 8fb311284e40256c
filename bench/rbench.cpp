// rbench: measures whole training steps, each step in them, and each optimisation. The same commands as `rtrain bench`,
// and other libraries beside ours.
#include "bench/commands.hpp"
#include "bench/peer.hpp"
#include "core/threads.hpp"

namespace {

constexpr const char* help = R"(rbench measures rtrain's speed. For example:

  rbench step --stem cifar --batch 128
  rbench ops conv2d
  rbench ablate)";

}  // namespace

int main(int argc, char** argv) {
  rt::limit_waiting(argv);
  rt::linked_peer = rt::onednn_peer;
  const rt::Verb rbench = {
      .name = "rbench",
      .help = help,
      .verbs = rt::bench_commands,
      .rewrite = rt::accept_ablate_option,
  };
  return rt::run_program(rbench, argc, argv);
}
