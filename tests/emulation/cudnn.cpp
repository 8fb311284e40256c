// cuDNN on the emulated device: the CPU's own rows (fast enough for whole networks), when the stream gets there. Each
// algorithm overwrites all the workspace that it asked for, so that a caller who gave it too little shows.
#include "kernels/conv2d/cudnn/cudnn.hpp"

#include <algorithm>
#include <map>

#include "core/cuda.hpp"
#include "emulation/emulation.hpp"
#include "emulation/libraries.hpp"
#include "kernels/table.hpp"

namespace rt {
namespace {

using emulation::graph_algorithm;

struct Settings {
  std::map<int, double> cost = {{0, 3}, {1, 2}, {2, 1}, {graph_algorithm, 1.5}, {graph_algorithm + 1, 0.5}};
  std::map<int, size_t> workspace;
  std::map<int, int> runs;
  int timings = 0, wrong = -1;
  struct Clock {
    int runs;
    double ms = 0;
  };
  Clock* clock = nullptr;  // of timed(): algorithms add to it instead of running
};
Settings settings;

struct Specs {
  Spec x, w, y;
};
Specs specs_of(const cudnn::Convolution& c) {
  const Conv2dShape& s = c.shape;
  return {{{s.n, s.c, s.h, s.w}, c.dtype, c.layout},
          {{s.k, s.c, s.r, s.s}, c.dtype, c.layout},
          {{s.n, s.k, s.p, s.q}, c.dtype, c.layout}};
}

OpPtr op_of(const cudnn::Convolution& c) {
  Tape tape(Tape::Mode::trace, {}, cpu_target());
  const Specs s = specs_of(c);
  conv2d(tape, tape.make(s.x), tape.make(s.w), {c.shape.stride, c.shape.pad});
  return tape.steps()[0].ops[0];
}

}  // namespace

void emulation::set_cost(int algorithm, double ms) { settings.cost[algorithm] = ms; }
void emulation::set_workspace(int algorithm, size_t bytes) { settings.workspace[algorithm] = bytes; }
void emulation::set_wrong(int algorithm) { settings.wrong = algorithm; }
void emulation::reset_cudnn() { settings = {}; }
int emulation::timings() { return settings.timings; }
int emulation::runs(int algorithm) { return settings.runs[algorithm]; }

namespace cudnn {

int version() { return 91002; }

const std::vector<Algorithm>& algorithms(const Convolution& c) {
  static std::map<Convolution, std::vector<Algorithm>> all;
  const Specs s = specs_of(c);
  const size_t out = (c.pass == Conv2dPass::forward ? s.y : c.pass == Conv2dPass::dx ? s.x : s.w).bytes();
  std::vector<Algorithm>& list = all[c];
  list.clear();
  if (!c.stats) list = {{0, "LOOPS", 0, true}, {1, "TILES", out, true}, {2, "ATOMICS", 2 * out, false}};
  if (c.graph || c.stats) {
    list.push_back({graph_algorithm, "GRAPH_0", 3 * out, true});
    list.push_back({graph_algorithm + 1, "GRAPH_1", 4 * out, false});
  }
  for (Algorithm& a : list)
    if (const auto set = settings.workspace.find(a.id); set != settings.workspace.end())
      a.workspace_bytes = set->second;
  return list;
}

const Algorithm& find(const Convolution& c, int id) {
  const std::vector<Algorithm>& list = algorithms(c);
  const auto it = std::ranges::find(list, id, &Algorithm::id);
  RT_CHECK(it != list.end(), "emulated cuDNN: there is no algorithm {} for this convolution", id);
  return *it;
}

void run(const Convolution& c, int algorithm, const Operands& o, void* stream) {
  const size_t bytes = find(c, algorithm).workspace_bytes;
  RT_CHECK(o.workspace_bytes >= bytes, "emulated cuDNN: a workspace of {} bytes, {} needed", o.workspace_bytes, bytes);
  if (settings.clock) {
    const double cost = settings.cost.at(algorithm);
    if (cost < 0) fail(ExitCode::device, "emulated cuDNN: CUDNN_STATUS_NOT_SUPPORTED");
    settings.clock->ms += cost;
    settings.runs[algorithm] += settings.clock->runs;
    return;
  }
  emulation::enqueue(stream, [c, o, bytes, op = op_of(c), wrong = algorithm == settings.wrong] {
    if (bytes > 0) std::memset(o.workspace, 0x5a, bytes);
    const Specs s = specs_of(c);
    const bool forward = c.pass == Conv2dPass::forward, dw = c.pass == Conv2dPass::dw;
    // In f32, and in the memory order that the CPU's rows take.
    auto for_cpu = [&](const Spec& spec) {
      return Spec{spec.shape, DType::f32, spec == s.w ? Layout::nchw : Layout::nhwc};
    };
    const Spec& out = forward ? s.y : dw ? s.w : s.x;
    const Tensor a(for_cpu(forward ? s.x : s.y)), b(for_cpu(dw ? s.x : s.w)), result(for_cpu(out));
    copy_convert({forward ? s.x : s.y, const_cast<void*>(o.a)}, a.view());
    copy_convert({dw ? s.x : s.w, const_cast<void*>(o.b)}, b.view());
    const Spec in_specs[] = {a.spec(), b.spec()}, out_specs[] = {result.spec()};
    const View in_views[] = {a.view(), b.view()}, out_views[] = {result.view()};
    const Problem problem{.kind = forward ? kinds::conv2d_forward
                                  : dw    ? kinds::conv2d_dw
                                          : kinds::conv2d_dx,
                          .ops = {&op, 1},
                          .in = in_specs,
                          .out = out_specs};
    const Target target = cpu_target();
    const Row& row = select_row(kernel_table(), target, problem);
    const Storage workspace(workspace_bytes(row, problem));
    run_row(row, {.ops = {&op, 1}, .in = in_views, .out = out_views, .workspace = workspace.data()});
    if (wrong) result.as<float>()[0] += 1000;
    copy_convert(result.view(), {out, o.out});
    if (!c.stats) return;
    const int64_t k = c.shape.k;
    std::vector<double> sums(static_cast<size_t>(2 * k));
    for (int64_t i = 0; i < result.spec().shape.numel(); ++i) {
      const auto y = static_cast<double>(result.as<float>()[i]);
      sums[static_cast<size_t>(i % k)] += y;
      sums[static_cast<size_t>(k + i % k)] += y * y;
    }
    for (int64_t i = 0; i < 2 * k; ++i) o.sums[i] = static_cast<float>(sums[static_cast<size_t>(i)]);
  });
}

double timed(const std::function<void()>& work, int runs, void* stream) {
  settings.timings += 1;
  Settings::Clock clock{.runs = 1 + 2 * runs};
  settings.clock = &clock;
  try {
    work();
  } catch (...) {
    settings.clock = nullptr;
    throw;
  }
  settings.clock = nullptr;
  cuda::synchronize(stream);
  return clock.ms;
}

}  // namespace cudnn
}  // namespace rt
