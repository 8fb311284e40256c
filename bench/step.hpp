// Times whole training steps (forward, backward, update) of a ResNet on random images: the figure that PyTorch's
// forward + backward + optimizer.step() is compared with.
#pragma once
#include <string>
#include <vector>

namespace rt {

struct StepBenchOptions {
  std::string stem = "cifar", arch = "resnet18", precision = "f32", device = "cpu";
  int batch = 128, side = 0, threads = 0, repeat = 5, steps = 3;
  std::vector<std::string> settings;  // optimize.fuse=false, ...
  bool json = false;
};
int run_step_bench(const StepBenchOptions& options);

}  // namespace rt
