// A convolution on the emulated cuDNN, whose algorithms' costs tests set.
#pragma once
#include <doctest/doctest.h>

#include <string>

#include "core/cuda.hpp"
#include "core/plan.hpp"
#include "emulation/emulation.hpp"
#include "emulation/libraries.hpp"
#include "kernels/conv2d/conv2d.hpp"
#include "kernels/conv2d/cudnn/cudnn_choices.hpp"
#include "kernels/table.hpp"

namespace rt::testing {

inline const Spec x_spec{{2, 3, 6, 5}, DType::f32, Layout::nhwc};
inline const Spec w_spec{{4, 3, 3, 3}, DType::f32, Layout::nhwc};
inline constexpr size_t y_bytes = 2 * 4 * 6 * 5 * 4;

inline const Row& row_named(std::string_view kind, std::string_view name) {
  for (const Row& row : kernel_table())
    if (row.kind == kind && row.name == name) return row;
  FAIL("no row " << std::string(name) << " of " << std::string(kind));
  std::abort();
}

// One convolution on the device, as a plan would run it.
struct CudnnConvolution {
  explicit CudnnConvolution(std::string_view name = "cuda.cudnn") : row(row_named("conv2d.forward", name)) {
    emulation::reset_cudnn();
    emulation::set_profile({});
    cudnn::configure({});
    cuda::use(0);
    Tape tape(Tape::Mode::trace, {}, cpu_target());
    conv2d(tape, tape.make(x_spec), tape.make(w_spec), {.stride = 1, .pad = 1});
    op = tape.steps()[0].ops[0];
    for (const Storage* s : {&x, &w}) cuda::fill_zero(s->data(), s->bytes(), cuda::compute_stream());
  }
  ~CudnnConvolution() {
    emulation::reset_cudnn();
    emulation::set_profile({});
    cudnn::configure({});
  }
  size_t planned() const {
    const Spec in[] = {x_spec, w_spec}, out[] = {y_spec};
    return workspace_bytes(row, {.ops = {&op, 1}, .in = in, .out = out});
  }
  std::string refusal() const {
    const Spec in[] = {x_spec, w_spec}, out[] = {y_spec};
    return refusal_of(row, {.ops = {&op, 1}, .in = in, .out = out});
  }
  void run() const {
    const Storage workspace(planned(), Device::cuda);
    const View in[] = {{x_spec, x.data()}, {w_spec, w.data()}}, out[] = {{y_spec, y.data()}};
    run_row(row,
            {.ops = {&op, 1}, .in = in, .out = out, .workspace = workspace.data(), .stream = cuda::compute_stream()});
    cuda::synchronize(cuda::compute_stream());
  }
  const cudnn::Algorithm& chosen() const {
    run();
    REQUIRE(cudnn::choices().settled.size() == 1);
    CHECK(cudnn::choices().settled.begin()->second.workspace_bytes <= planned());
    return cudnn::choices().settled.begin()->second;
  }

  const Row& row;
  Spec y_spec{{2, 4, 6, 5}, DType::f32, Layout::nhwc};
  Storage x{x_spec.bytes(), Device::cuda}, w{w_spec.bytes(), Device::cuda}, y{y_bytes, Device::cuda};
  OpPtr op;
};

inline std::string line_for(int algorithm, const std::string& device = "emulated device", int version = 91002,
                            bool graph = false) {
  const cudnn::Convolution c{Conv2dPass::forward, {2, 3, 6, 5, 4, 3, 3, 6, 5, 1, 1}, DType::f32, Layout::nhwc, graph};
  return cudnn::key_of(c, true, device, version) + "\t" + std::to_string(algorithm) + "\n";
}

}  // namespace rt::testing
