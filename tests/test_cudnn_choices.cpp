// Which of cuDNN's algorithms is chosen, remembered and planned for, on the emulated library with costs that the test sets.
#include <doctest/doctest.h>

#include "core/cuda.hpp"
#include "core/log.hpp"
#include "core/plan.hpp"
#include "emulation/emulation.hpp"
#include "emulation/libraries.hpp"
#include "kernels/conv2d/cudnn/cudnn_choices.hpp"
#include "kernels/table.hpp"
#include "tests/support/run_row.hpp"
#include "tests/support/temp_folder.hpp"

using namespace rt;
using namespace rt::testing;

namespace {

const Spec x_spec{{2, 3, 6, 5}, DType::f32, Layout::nhwc}, w_spec{{4, 3, 3, 3}, DType::f32, Layout::nhwc};
constexpr size_t y_bytes = 2 * 4 * 6 * 5 * 4;

const Row& find_row(std::string_view kind, std::string_view name) {
  for (const Row& row : kernel_table())
    if (row.kind == kind && row.name == name) return row;
  FAIL("no row " << std::string(name) << " of " << std::string(kind));
  std::abort();
}

// One convolution on the device, as a plan would run it.
struct Setup {
  explicit Setup(std::string_view name = "cuda.cudnn") : row(find_row("conv2d.forward", name)) {
    emulation::reset_cudnn();
    emulation::set_profile({});
    cudnn::configure({});
    cuda::use(0);
    Tape tape(Tape::Mode::trace, {}, cpu_target());
    conv2d(tape, tape.make(x_spec), tape.make(w_spec), {.stride = 1, .pad = 1});
    op = tape.steps()[0].ops[0];
    for (const Storage* s : {&x, &w}) cuda::fill_zero(s->data(), s->bytes(), cuda::compute_stream());
  }
  ~Setup() {
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

std::string line_for(int algorithm, const std::string& device = "emulated device", int version = 91002,
                     bool graph = false) {
  const cudnn::Convolution c{Conv2dPass::forward, {2, 3, 6, 5, 4, 3, 3, 6, 5, 1, 1}, DType::f32, Layout::nhwc, graph};
  return cudnn::key_of(c, true, device, version) + "\t" + std::to_string(algorithm) + "\n";
}

}  // namespace

TEST_CASE("cudnn: the fastest admitted algorithm is timed once and kept") {
  const Setup s;
  CHECK(s.chosen().id == 1);  // 2 would be faster, and is not deterministic
  const int timings = emulation::timings();
  CHECK(timings == 2 * 4);
  emulation::set_cost(0, 0.1);
  CHECK(s.chosen().id == 1);
  CHECK(emulation::timings() == timings);
}

TEST_CASE("cudnn: an algorithm far slower than the best runs a few times, one of microseconds often") {
  const Setup s;
  constexpr int once = 1 + 2, ten_times = 1 + 2 * 10;
  emulation::set_cost(0, 500);  // the favourite: the first that is timed
  emulation::set_cost(1, 0.01);
  CHECK(s.chosen().id == 1);
  CHECK(emulation::runs(0) == once);
  CHECK(emulation::runs(1) == once + 3 * ten_times);

  cudnn::configure({});
  emulation::reset_cudnn();
  emulation::set_cost(0, 3), emulation::set_cost(1, 6.3);  // one of milliseconds is no slower to time than it must be
  CHECK(s.chosen().id == 0);
  CHECK(emulation::runs(0) == 4 * once);
  CHECK(emulation::runs(1) == once);

  cudnn::configure({});
  emulation::reset_cudnn();
  emulation::set_cost(0, 0.2), emulation::set_cost(1, 0.01);  // a single run of so little says little
  CHECK(s.chosen().id == 1);
  CHECK(emulation::runs(0) > once);
}

TEST_CASE("cudnn: without determinism every algorithm is admitted") {
  const Setup s;
  cudnn::configure({.deterministic = false, .cache_file = "", .run_file = ""});
  CHECK(s.planned() == 2 * y_bytes);
  CHECK(s.chosen().id == 2);
}

TEST_CASE("cudnn: workspaces are planned for the largest admitted algorithm, below the cap") {
  const Setup s;
  CHECK(s.planned() == y_bytes);
  emulation::set_cost(0, 0.1);
  CHECK(s.chosen().id == 0);
  CHECK(s.planned() == y_bytes);  // the same before and after, so that a plan made earlier stays right

  cudnn::configure({});
  emulation::set_workspace(1, (size_t{128} << 20) + 1);  // a 32nd of 4 GiB and one byte
  emulation::set_cost(0, 3);
  CHECK(s.planned() == 0);
  CHECK(s.chosen().id == 0);

  cudnn::configure({});
  emulation::set_profile({.capability = 61, .total_bytes = size_t{1} << 30});  // 64 MiB is the least
  emulation::set_workspace(1, size_t{64} << 20);
  CHECK(s.planned() == size_t{64} << 20);
  emulation::set_workspace(1, (size_t{64} << 20) + 1);
  CHECK(s.planned() == 0);
  emulation::set_profile({.capability = 90, .total_bytes = size_t{1} << 37});  // 1 GiB the most
  emulation::set_workspace(1, size_t{1} << 30);
  CHECK(s.planned() == size_t{1} << 30);
  emulation::set_workspace(1, (size_t{1} << 30) + 1);
  CHECK(s.planned() == 0);
}

TEST_CASE("cudnn: where no algorithm is admitted the row refuses, and says so") {
  const Setup s;
  CHECK(s.refusal() == "");
  emulation::set_workspace(0, size_t{1} << 40), emulation::set_workspace(1, size_t{1} << 40);
  CHECK(s.refusal().find("no deterministic algorithm for conv2d.forward [2,3,6,5] 3x3/1") != std::string::npos);
}

TEST_CASE("cudnn: an algorithm that fails when it is timed is passed over") {
  const Setup s;
  emulation::set_cost(1, -1);
  CHECK(s.chosen().id == 0);
  cudnn::configure({});
  emulation::set_cost(0, -1);
  CHECK_THROWS_WITH_AS(s.run(), doctest::Contains("no algorithm could compute"), Error);
}

TEST_CASE("cudnn: timing leaves the inputs alone and allocates nothing") {
  const Setup s;
  const std::vector<float> ones(x_spec.bytes() / 4, 1.0f);
  write_to({x_spec, s.x.data()}, Device::cuda, ones.data());
  const size_t peak = cuda::counters().peak_bytes = cuda::counters().allocated_bytes;
  CHECK(s.chosen().id == 1);
  CHECK(read_back({x_spec, s.x.data()}, Device::cuda).as<float>()[0] == 1.0f);
  CHECK(cuda::counters().peak_bytes == peak + y_bytes);  // the workspace, by whoever runs the row
}

TEST_CASE("cudnn: choices are remembered in a file") {
  const Setup s;
  const TempFolder folder;
  const std::string cache = folder / "deep/cache.txt";
  cudnn::configure({.deterministic = true, .cache_file = cache, .run_file = ""});
  CHECK(s.chosen().id == 1);
  CHECK(folder.read("deep/cache.txt") == line_for(1));

  emulation::reset_cudnn();
  emulation::set_cost(0, 0.1);
  cudnn::configure({.deterministic = true, .cache_file = cache, .run_file = ""});
  CHECK(s.chosen().id == 1);
  CHECK(emulation::timings() == 0);
  CHECK(folder.read("deep/cache.txt") == line_for(1));

  cudnn::configure({.deterministic = false, .cache_file = cache, .run_file = ""});  // another question
  CHECK(s.chosen().id == 0);
}

TEST_CASE("cudnn: a run's file wins over the cache and gets every choice of the run") {
  const Setup s;
  const TempFolder folder;
  const std::string cache = folder.write("cache.txt", line_for(1));
  cudnn::configure({.deterministic = true, .cache_file = cache, .run_file = folder / "run.txt"});
  CHECK(s.chosen().id == 1);
  CHECK(folder.read("run.txt") == line_for(1));

  folder.write("run.txt", line_for(0));
  cudnn::configure({.deterministic = true, .cache_file = cache, .run_file = folder / "run.txt"});
  CHECK(s.chosen().id == 0);
  CHECK(emulation::timings() == 0);
  CHECK(folder.read("cache.txt") == line_for(1));
}

TEST_CASE("cudnn: what is remembered is used only where it is admitted") {
  const Setup s;
  const TempFolder folder;
  const std::string run = folder.write("run.txt", line_for(2));
  cudnn::configure({.deterministic = true, .cache_file = "", .run_file = run});
  CHECK(s.chosen().id == 1);
  CHECK(folder.read("run.txt") == line_for(2) + line_for(1));  // the later line is the one that counts

  cudnn::configure({.deterministic = true, .cache_file = "", .run_file = run});
  emulation::set_workspace(1, size_t{1} << 30);
  CHECK(s.chosen().id == 0);
}

TEST_CASE("cudnn: other devices and versions, broken lines and impossible choices are survived") {
  const Setup s;
  const TempFolder folder;
  const std::string foreign = line_for(0, "another device") + line_for(0, "emulated device", 90000);
  const std::string torn = line_for(0).substr(0, line_for(0).size() - 1);
  folder.write("cache.txt", foreign + "nonsense\n\n" + line_for(7) + "\x01\x02\t\t\t\n" + torn);
  const std::string before = folder.read("cache.txt");
  log_to_file(folder / "log.txt");
  cudnn::configure({.deterministic = true, .cache_file = folder / "cache.txt", .run_file = ""});
  log_to_file("");
  const std::string log = folder.read("log.txt");
  CHECK(log.find("cache.txt: 3 lines, the first of them line 3, are not") != std::string::npos);  // 3, 6 and 7

  CHECK(s.chosen().id == 1);  // 7 does not exist
  CHECK(folder.read("cache.txt") == before + "\n" + line_for(1));
  cudnn::configure({.deterministic = true, .cache_file = folder / "cache.txt", .run_file = ""});
  emulation::reset_cudnn();
  CHECK(s.chosen().id == 1);
  CHECK(emulation::timings() == 0);

  folder.write("folder.txt", "");
  cudnn::configure(
      {.deterministic = true, .cache_file = folder / "folder.txt/x", .run_file = ""});  // cannot be written
  CHECK(s.chosen().id == 1);
}

TEST_CASE("cudnn: the graph API's algorithms are asked for from compute capability 9.0 up") {
  const Setup s;
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

TEST_CASE("cudnn: of the legacy and the graph API the faster is kept") {
  const Setup s("cuda.cudnn_graph");
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

TEST_CASE("cudnn: a recorded choice of the graph API is kept, and one made without it does not stand for it") {
  const Setup s("cuda.cudnn_graph");
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

  const Setup legacy;  // the other row, as on a device below: each finds its own
  cudnn::configure({.deterministic = true, .cache_file = cache, .run_file = ""});
  CHECK(legacy.chosen().id == 0);
  CHECK(emulation::timings() == 0);
}

TEST_CASE("cudnn: the cache lies where the user's caches lie") {
  const char* before = std::getenv("XDG_CACHE_HOME");
  const std::string held = before ? before : "";
  setenv("XDG_CACHE_HOME", "/somewhere", 1);
  CHECK(cudnn::default_cache_file() == "/somewhere/rtrain/cudnn-algorithms.txt");
  before ? setenv("XDG_CACHE_HOME", held.c_str(), 1) : unsetenv("XDG_CACHE_HOME");
}

namespace {

// A convolution and the statistics of its output, in f16, on the device and by the reference.
struct StatsStep {
  StatsStep() : row(find_row("conv2d.forward.stats", "cuda.cudnn_graph")) {
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
    for (const Spec& spec : out_specs) want.emplace_back(spec), out.push_back(want.back().view());
    cpu::reference::conv2d_forward_stats({.kind = row.kind, .ops = ops, .in = in, .out = out});
    auto place = [&](const View& v) { return View{v.spec, memory.emplace_back(v.spec.bytes(), Device::cuda).data()}; };
    for (const View& v : in) device_in.push_back(place(v)), write_to(device_in.back(), Device::cuda, v.data);
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

TEST_CASE("cudnn: a convolution sums its output's statistics where that is faster, else they are computed apart") {
  constexpr int apart = 999;
  StatsStep s;
  CHECK(s.row.refuse(s.problem()) == "");
  emulation::set_cost(emulation::graph_algorithm, 1.5);
  emulation::set_cost(1, 1.2), emulation::set_cost(0, 1.8);
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
  emulation::set_cost(0, 9),
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

TEST_CASE("cudnn: sums over the output are for f16 in nhwc") {
  StatsStep s;
  for (std::vector<Spec>* specs : {&s.in_specs, &s.out_specs})
    for (Spec& spec : *specs)
      if (spec.shape.rank() == 4) spec.dtype = DType::bf16;
  CHECK(s.row.refuse(s.problem()) == "needs f16 and nhwc");
  const Target target{Device::cuda, 90};
  CHECK(rt::find_row(kernel_table(), target, s.problem()) == nullptr);
}
