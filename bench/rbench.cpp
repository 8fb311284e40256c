// rbench: measures whole training steps and single ops. The same commands as `rtrain bench`.
#include "bench/commands.hpp"
#include "core/check.hpp"

int main(int argc, char** argv) {
  return rt::run_main([&] {
    CLI::App app{
        "rbench measures rtrain's speed. For example:\n\n  rbench step --stem cifar --batch 128\n  rbench ops conv2d",
        "rbench"};
    int code = 0;
    rt::add_bench_commands(app, code);
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
      return app.exit(e) == 0 ? 0 : static_cast<int>(rt::ExitCode::usage);
    }
    return code;
  });
}
