// A wrong algorithm of cuDNN's costs that algorithm, not the row, on the emulated library.
#include <algorithm>

#include "emulation/libraries.hpp"
#include "kernels/conv2d/cudnn/cudnn_choices.hpp"
#include "tests/support/cuda_model.hpp"
#include "train/engine/self_test.hpp"

using namespace rt;
using namespace rt::testing;

namespace {

struct FreshChoices {
  FreshChoices() { reset(); }
  ~FreshChoices() { reset(); }
  static void reset() {
    emulation::reset_cudnn();
    cudnn::choices().refused.clear();
    cudnn::configure({});
  }
};

}  // namespace

TEST_CASE("cudnn_self_test: a wrong algorithm is refused for every shape, and its row computes by the next") {
  RT_NEEDS_CUDA();
  const FreshChoices fresh;
  const ForceCapability forced(80);  // the legacy API's alone
  emulation::set_wrong(1);
  const auto refused = self_test(cuda_options(), {.arch = "resnet18", .stem = "cifar", .width = 8}, false);
  CHECK(refused->empty());
  CHECK(cudnn::choices().refused.size() == 3);  // of three passes
  cudnn::configure({});                         // as training does, with the run's file
  ExecutorOptions options = cuda_options();
  options.refused = refused;
  CudaTraining m(options), cpu({});
  CHECK(distance(m.after(1), cpu.after(1)) < 1e-4);
  CHECK(!cudnn::choices().settled.empty());
  for (const auto& [c, algorithm] : cudnn::choices().settled) CHECK(algorithm.id == 0);
}

TEST_CASE("cudnn_self_test: where every algorithm is wrong the row is refused") {
  RT_NEEDS_CUDA();
  const FreshChoices fresh;
  const ForceCapability forced(80);
  emulation::set_workspace(0, size_t{1} << 40);  // leaves algorithm 1
  emulation::set_wrong(1);
  const auto refused = self_test(cuda_options(), {.arch = "resnet18", .stem = "cifar", .width = 8}, false);
  for (const char* kind : {"conv2d.forward", "conv2d.dx", "conv2d.dw"})
    CHECK(std::any_of(refused->begin(), refused->end(), [&](const RefusedRow& r) { return r.kind == kind; }));
}
