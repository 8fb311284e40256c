// Convolutions by cuDNN's graph API beside its older one, with sums over the output, on the emulated library.
#include <doctest/doctest.h>

#include "emulation/emulation.hpp"
#include "emulation/libraries.hpp"
#include "kernels/batch_norm/batch_norm.hpp"
#include "tests/support/cudnn_convolution.hpp"
#include "tests/support/run_row.hpp"
#include "tests/support/temp_folder.hpp"

using namespace rt;
using namespace rt::testing;

namespace {

// A convolution and the statistics of its output, in f16, on the device and by the reference.
struct StatsStep {
  StatsStep() : row(row_named("conv2d.forward.stats", "cuda.cudnn_graph")) {
    emulation::reset_cudnn();
    emulation::set_profile({});
    cudnn::configure({});
    cuda::use(0);
    Tape tape(Tape::Mode::trace, {}, cpu_target());
    const Var y = conv2d(tape, tape.make(as_type(x_spec, DType::f16)), tape.make(as_type(w_spec, DType::f16)),
                         {.stride = 1, .pad = 1});
    const Var c = tape.make(k_spec);
    batch_norm(tape, y, c, c, {c, c}, {});
    ops = {tape.steps()[0].ops[0], tape.steps()[1].ops[0]};
  }
  ~StatsStep() {
    emulation::reset_cudnn();
    cudnn::configure({});
  }
  Problem problem() const { return {.kind = row.kind, .ops = ops, .in = in_specs, .out = out_specs}; }
  // Worst distance of y, mean, rstd and var from the reference's.
  double run() {
    const Tensor x = random(in_specs[0], 1, 0.5f, 2), w = random(in_specs[1], 2);
    std::vector<Tensor> want;
    std::vector<Storage> memory;
    std::vector<View> in{x.view(), w.view()}, out, device_in, device_out;
    for (const Spec& spec : out_specs) {
      want.emplace_back(spec);
      out.push_back(want.back().view());
    }
    cpu::reference::conv2d_forward_stats({.kind = row.kind, .ops = ops, .in = in, .out = out});
    auto place = [&](const View& v) { return View{v.spec, memory.emplace_back(v.spec.bytes(), Device::cuda).data()}; };
    for (const View& v : in) {
      device_in.push_back(place(v));
      write_to(device_in.back(), Device::cuda, v.data);
    }
    for (const View& v : out) device_out.push_back(place(v));
    const Storage workspace(row.workspace(problem()), Device::cuda);
    run_row(row, {.ops = ops,
                  .in = device_in,
                  .out = device_out,
                  .workspace = workspace.data(),
                  .stream = cuda::compute_stream()});
    double worst = 0;
    for (size_t i = 0; i < want.size(); ++i)
      worst = std::max(worst, distance(read_back(device_out[i], Device::cuda), want[i]));
    return worst;
  }
  int chosen() const {  // of the convolution with statistics, not of the one without
    for (const auto& [c, algorithm] : cudnn::choices().settled)
      if (c.stats) return algorithm.id;
    return -1;
  }

  const Row& row;
  Spec k_spec{{4}};
  std::vector<Spec> in_specs{as_type(x_spec, DType::f16), as_type(w_spec, DType::f16)},
      out_specs{{{2, 4, 6, 5}, DType::f16, Layout::nhwc}, k_spec, k_spec, k_spec};
  std::vector<OpPtr> ops;
};

}  // namespace

TEST_CASE("conv2d_cudnn: the graph API's algorithms are asked for from compute capability 9.0 up") {
  const CudnnConvolution s;
  const Spec in[] = {x_spec, w_spec}, out[] = {s.y_spec};
  const Problem problem{.kind = kinds::conv2d_forward, .ops = {&s.op, 1}, .in = in, .out = out};
  auto selected = [&](int capability) {
    const Target target{Device::cuda, capability};
    return select_row(kernel_table(), target, problem).name;
  };
  CHECK(selected(61) == "cuda.cudnn");
  CHECK(selected(89) == "cuda.cudnn");
  CHECK(selected(90) == "cuda.cudnn_graph");
  CHECK(selected(120) == "cuda.cudnn_graph");
  Target refused{Device::cuda, 90};
  refused.refused =
      std::make_shared<std::vector<RefusedRow>>(1, RefusedRow{"conv2d.forward", "cuda.cudnn_graph", "wrong"});
  CHECK(select_row(kernel_table(), refused, problem).name == "cuda.cudnn");
}

TEST_CASE("conv2d_cudnn: of the legacy and the graph API the faster is kept") {
  const CudnnConvolution s("cuda.cudnn_graph");
  CHECK(s.planned() == 3 * y_bytes);
  CHECK(s.chosen().id == emulation::graph_algorithm);  // the next would be faster, and is not deterministic
  CHECK(emulation::timings() == 3 * 4);

  cudnn::configure({});
  emulation::set_cost(emulation::graph_algorithm, 2.5);
  CHECK(s.chosen().id == 1);

  cudnn::configure({});
  emulation::set_cost(emulation::graph_algorithm, -1);  // it is offered and then does not run
  emulation::set_cost(1, 4);
  CHECK(s.chosen().id == 0);

  cudnn::configure({});
  emulation::reset_cudnn();
  emulation::set_workspace(emulation::graph_algorithm, size_t{1} << 40);
  CHECK(s.planned() == y_bytes);
  CHECK(s.chosen().id == 1);

  cudnn::configure({.deterministic = false, .cache_file = "", .run_file = ""});
  emulation::reset_cudnn();
  CHECK(s.planned() == 4 * y_bytes);
  CHECK(s.chosen().id == emulation::graph_algorithm + 1);
}

TEST_CASE("conv2d_cudnn: a recorded choice of the graph API is kept, and one made without it does not stand for it") {
  const CudnnConvolution s("cuda.cudnn_graph");
  const TempFolder folder;
  const std::string recorded = line_for(emulation::graph_algorithm, "emulated device", 91002, true);
  const std::string run = folder.write("run.txt", recorded);
  emulation::set_cost(emulation::graph_algorithm, 100);
  cudnn::configure({.deterministic = true, .cache_file = "", .run_file = run});
  CHECK(s.chosen().id == emulation::graph_algorithm);
  CHECK(emulation::timings() == 0);
  CHECK(folder.read("run.txt") == recorded);

  emulation::reset_cudnn();
  const std::string cache = folder.write("cache.txt", line_for(0));
  cudnn::configure({.deterministic = true, .cache_file = cache, .run_file = ""});
  CHECK(s.chosen().id == emulation::graph_algorithm);
  CHECK(folder.read("cache.txt") == line_for(0) + recorded);

  const CudnnConvolution legacy;  // the other row, as on a device below: each finds its own
  cudnn::configure({.deterministic = true, .cache_file = cache, .run_file = ""});
  CHECK(legacy.chosen().id == 0);
  CHECK(emulation::timings() == 0);
}

TEST_CASE("conv2d_cudnn: a convolution sums its output's statistics where that is faster, else another step does") {
  constexpr int apart = 999;
  StatsStep s;
  CHECK(s.row.refuse(s.problem()) == "");
  emulation::set_cost(emulation::graph_algorithm, 1.5);
  emulation::set_cost(1, 1.2);
  emulation::set_cost(0, 1.8);
  CHECK(s.run() < 2e-3);
  CHECK(s.chosen() == apart);  // by algorithm 1, then the kernel of batch norm, which costs nothing here
  const int timings = emulation::timings();
  CHECK(s.run() < 2e-3);
  CHECK(emulation::timings() == timings);

  cudnn::configure({});
  emulation::set_cost(1, 1.6);
  emulation::set_cost(emulation::graph_algorithm, 1.7);  // plain: 1.6
  CHECK(s.run() < 2e-3);
  CHECK(s.chosen() == apart);

  cudnn::configure({});
  emulation::set_workspace(emulation::graph_algorithm, size_t{1} << 40);
  emulation::set_workspace(emulation::graph_algorithm + 1, size_t{1} << 40);
  CHECK(s.row.refuse(s.problem()).find("conv2d.forward.stats") != std::string::npos);
  emulation::reset_cudnn();

  const TempFolder folder;  // the choice is remembered like others, beside that of the plain convolution
  auto configured = [&] {
    cudnn::configure({.deterministic = true, .cache_file = "", .run_file = folder / "run.txt"});
  };
  configured();
  emulation::set_cost(0, 9);
  emulation::set_cost(1, 9);  // the graph API's is the best of both: with sums it is one kernel less
  CHECK(s.run() < 2e-3);
  CHECK(s.chosen() == emulation::graph_algorithm);
  const std::string choices = folder.read("run.txt");
  CHECK(choices.find("\tforward.stats\t") != std::string::npos);
  CHECK(choices.find("\tforward\t") != std::string::npos);
  emulation::reset_cudnn();
  configured();
  CHECK(s.run() < 2e-3);
  CHECK(s.chosen() == emulation::graph_algorithm);
  CHECK(emulation::timings() == 0);
}

TEST_CASE("conv2d_cudnn: sums over the output are for f16 in nhwc") {
  StatsStep s;
  for (std::vector<Spec>* specs : {&s.in_specs, &s.out_specs})
    for (Spec& spec : *specs)
      if (spec.shape.rank() == 4) spec.dtype = DType::bf16;
  CHECK(s.row.refuse(s.problem()) == "needs f16 and nhwc");
  const Target target{Device::cuda, 90};
  CHECK(rt::find_row(kernel_table(), target, s.problem()) == nullptr);
}
