#include "bench/commands.hpp"

#include <memory>
#include <new>

#include "bench/ops.hpp"
#include "bench/step.hpp"
#include "core/check.hpp"
#include "core/log.hpp"

namespace rt {

void add_bench_commands(CLI::App& app, int& exit_code) {
  app.require_subcommand(1);
  auto options = std::make_shared<StepBenchOptions>();
  CLI::App* step = app.add_subcommand("step",
                                      "Time whole training steps on random images.\n\n  rbench step --stem cifar "
                                      "--batch 128\n  rbench step --stem imagenet --batch 32 --json");
  step->add_option("--stem", options->stem, "cifar (32x32 images) or imagenet (224x224)")
      ->check(CLI::IsMember({"cifar", "imagenet"}));
  step->add_option("--arch", options->arch, "resnet18, resnet34 or resnet50");
  step->add_option("--batch", options->batch, "images a step")->check(CLI::Range(1, 1 << 20));
  step->add_option("--side", options->side, "image side in pixels; 0: the stem's own")->check(CLI::Range(0, 4096));
  step->add_option("--precision", options->precision, "f32, bf16, f16, or auto: what the device prefers")
      ->check(CLI::IsMember({"f32", "bf16", "f16", "auto"}));
  step->add_option("--device", options->device, "cpu, cuda, cuda:N or auto");
  step->add_option("--threads", options->threads, "0: as training chooses")->check(CLI::Range(0, 1024));
  step->add_option("--repeat", options->repeat, "timed repeats")->check(CLI::Range(1, 1000));
  step->add_option("--steps", options->steps, "steps in one repeat")->check(CLI::Range(1, 1000));
  step->add_option("settings", options->settings, "optimize.* switches")->type_name("key=value");
  step->add_flag("--json", options->json, "one JSON object");
  step->callback([&exit_code, options] { exit_code = run_step_bench(*options); });

  auto filter = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  CLI::App* ops = app.add_subcommand(
      "ops",
      "Time every step of every op, with the implementation that training would choose.\n\n  rbench ops\n  rbench ops conv2d.dw --json");
  ops->add_option("filter", *filter, "part of an op's or step's name");
  auto op_options = std::make_shared<OpBenchOptions>();
  auto device = std::make_shared<std::string>("cpu"), precision = std::make_shared<std::string>("f32");
  ops->add_option("--stem", op_options->stem, "cifar or imagenet")->check(CLI::IsMember({"cifar", "imagenet"}));
  ops->add_option("--batch", op_options->batch, "images a step")->check(CLI::Range(1, 1 << 20));
  ops->add_option("--device", *device, "cpu, cuda, cuda:N or auto");
  ops->add_option("--precision", *precision, "f32, bf16, f16, or auto: what the device prefers")
      ->check(CLI::IsMember({"f32", "bf16", "f16", "auto"}));
  ops->add_flag("--json", *json, "a JSON array");
  ops->callback([&exit_code, filter, json, op_options, device, precision] {
    exit_code = run_op_bench(*filter, *json, *op_options, *device, *precision);
  });
}

int run_main(const std::function<int()>& f) {
  try {
    return f();
  } catch (const Error& e) {
    log_status("");
    log_error("{}", e.what());
    return static_cast<int>(e.code());
  } catch (const std::bad_alloc&) {
    log_error("out of memory; a smaller train.batch needs less");
    return static_cast<int>(ExitCode::device);
  } catch (const std::exception& e) {
    log_status("");
    log_error("{}", e.what());
    return static_cast<int>(ExitCode::runtime);
  }
}

}  // namespace rt
