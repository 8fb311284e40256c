// rbench: measures whole training steps, each step in them, and each optimisation. The same commands as `rtrain bench`, and
// other libraries beside ours.
#include "bench/commands.hpp"
#include "core/check.hpp"
#include "core/threads.hpp"

int main(int argc, char** argv) {
  rt::limit_waiting(argv);
  return rt::run_main([&] {
    CLI::App app{
        "rbench measures rtrain's speed. For example:\n\n  rbench step --stem cifar --batch 128\n  rbench ops conv2d\n  rbench ablate",
        "rbench"};
    int code = 0;
    rt::add_bench_commands(app, code, false, rt::onednn_peer);
    rt::accept_ablate_option(argc, argv, 1);
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
      return app.exit(e) == 0 ? 0 : static_cast<int>(rt::ExitCode::usage);
    }
    return code;
  });
}
