// Convolutions by cuDNN's graph API, whose engines for compute capability 9.0 and up the legacy API does not have: a
// graph of one operation, or of a convolution and the sums of its output by channel; the engine configurations that the
// library's heuristics propose for it, and of those the first few that become an execution plan. With cuDNN 9.19 it has
// run on an H200. An algorithm's id is a hash of its engine's number and knobs, not its place among the proposals: a
// configuration that is no longer proposed is then not found, where a place would silently mean another one.
#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "core/log.hpp"
#include "kernels/conv2d/cudnn/cudnn_choices.hpp"
#include "kernels/conv2d/cudnn/cudnn_descriptor.hpp"
#include "kernels/conv2d/cudnn/cudnn_graph.hpp"

namespace rt::cudnn {
namespace {

constexpr int64_t most_proposals = 32;  // looked at, per mode of the heuristics
constexpr int64_t most_plans = 4;       // built of each sort, deterministic and not: building one may compile code
constexpr int64_t alignment = 16;       // of operands, in bytes; every Storage and Arena gives more

Descriptor tensor(int64_t id, cudnnDataType_t type, Layout layout, const std::array<int64_t, 4>& dims) {
  const auto [n, c, h, w] = dims;  // of a filter K,C,R,S
  using Strides = std::array<int64_t, 4>;
  Descriptor t(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  t.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id);
  t.set(CUDNN_ATTR_TENSOR_DATA_TYPE, type);
  t.set(CUDNN_ATTR_TENSOR_DIMENSIONS, dims);
  t.set(CUDNN_ATTR_TENSOR_STRIDES,
        layout == Layout::nchw ? Strides{c * h * w, h * w, w, 1} : Strides{h * w * c, 1, w * c, c});
  t.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, alignment);
  t.finalize("cudnnBackendFinalize of a tensor");
  return t;
}

Descriptor convolution(const Conv2dShape& s) {
  using Pair = std::array<int64_t, 2>;
  Descriptor d(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  d.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, int64_t{2});
  d.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);
  d.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION);
  d.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, Pair{s.pad, s.pad});
  d.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, Pair{s.pad, s.pad});
  d.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, Pair{s.stride, s.stride});
  d.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, Pair{1, 1});
  d.finalize("cudnnBackendFinalize of a convolution");
  return d;
}

// The same operation three times under other names; x, w and y also stand for their gradients.
struct OperationNames {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t x, w, y, convolution, alpha, beta;
};
constexpr OperationNames operation_names[] = {
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};

constexpr std::array<int64_t, 5> operand_ids = {1, 2, 3, 4, 5};  // x, w, y; sums and sums of squares

struct OperationGraph {  // what it is made of stays beside it: the library does not say that it keeps copies
  Descriptor x, w, y, convolution, operation;
  std::optional<Descriptor> sums, squares, stats;
  Descriptor graph;

  OperationGraph(cudnnHandle_t handle, const Convolution& c, cudnnDataType_t type)
      : x(tensor(operand_ids[0], type, c.layout, {c.shape.n, c.shape.c, c.shape.h, c.shape.w})),
        w(tensor(operand_ids[1], type, c.layout, {c.shape.k, c.shape.c, c.shape.r, c.shape.s})),
        y(tensor(operand_ids[2], type, c.layout, {c.shape.n, c.shape.k, c.shape.p, c.shape.q})),
        convolution(cudnn::convolution(c.shape)),
        operation(names(c).type),
        graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR) {
    operation.set(names(c).x, x);
    operation.set(names(c).w, w);
    operation.set(names(c).y, y);
    operation.set(names(c).convolution, convolution);
    operation.set(names(c).alpha, 1.0f);
    operation.set(names(c).beta, 0.0f);
    operation.finalize("cudnnBackendFinalize of an operation");
    graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, handle);
    if (c.stats) {
      add_stats(c);
      graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation, *stats);
    } else {
      graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation);
    }
    graph.finalize("cudnnBackendFinalize of an operation graph");
  }
  void add_stats(const Convolution& c) {
    sums.emplace(tensor(operand_ids[3], CUDNN_DATA_FLOAT, c.layout, {1, c.shape.k, 1, 1}));
    squares.emplace(tensor(operand_ids[4], CUDNN_DATA_FLOAT, c.layout, {1, c.shape.k, 1, 1}));
    stats.emplace(CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR);
    stats->set(CUDNN_ATTR_OPERATION_GENSTATS_MODE, CUDNN_GENSTATS_SUM_SQSUM);
    stats->set(CUDNN_ATTR_OPERATION_GENSTATS_MATH_PREC, CUDNN_DATA_FLOAT);
    stats->set(CUDNN_ATTR_OPERATION_GENSTATS_XDESC, y);
    stats->set(CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC, *sums);
    stats->set(CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC, *squares);
    stats->finalize("cudnnBackendFinalize of sums by channel");
  }
  static const OperationNames& names(const Convolution& c) { return operation_names[static_cast<size_t>(c.pass)]; }
};

// The heuristics' favourite first.
std::vector<Descriptor> proposals(const OperationGraph& g, cudnnBackendHeurMode_t mode) {
  Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, g.graph);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, mode);
  heuristics.finalize("cudnnBackendFinalize of heuristics");
  return heuristics.get(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, most_proposals);
}

struct ExecutionPlan {
  Descriptor config, plan;
};
struct Prepared {
  explicit Prepared(OperationGraph&& g) : graph(std::move(g)) {}
  OperationGraph graph;
  std::map<int, ExecutionPlan> plans;  // by algorithm
};

int id_of(std::string_view name) {
  uint32_t hash = 2166136261u;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return first_graph_id +
         static_cast<int>(hash % static_cast<uint32_t>(std::numeric_limits<int>::max() - first_graph_id));
}

// What the engine configuration computes with; nothing where that is not what `type` asks for. The workspace is the
// plan's.
std::optional<Algorithm> identify(const Descriptor& config, cudnnDataType_t type) {
  const std::vector<Descriptor> engines = config.get(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1);
  if (engines.empty()) return {};
  const auto notes = engines[0].get<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                                                 int64_t{CUDNN_NUMERICAL_NOTE_TYPE_COUNT});
  auto noted = [&](cudnnBackendNumericalNote_t note) {
    return std::find(notes.begin(), notes.end(), note) != notes.end();
  };
  // Tensor cores multiply f32 only as TF32.
  const bool tf32 = type == CUDNN_DATA_FLOAT &&
                    (noted(CUDNN_NUMERICAL_NOTE_TENSOR_CORE) || noted(CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS));
  // Transforms of half numbers round too coarsely.
  const bool coarse =
      type != CUDNN_DATA_FLOAT && (noted(CUDNN_NUMERICAL_NOTE_WINOGRAD) || noted(CUDNN_NUMERICAL_NOTE_FFT));
  if (tf32 || coarse || noted(CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION)) return {};

  const int64_t engine = engines[0].get<int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
  std::map<int, int64_t> knobs;
  for (const Descriptor& knob : config.get(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR,
                                           int64_t{CUDNN_KNOB_TYPE_COUNTS}))
    knobs[static_cast<int>(knob.get<cudnnBackendKnobType_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE))] =
        knob.get<int64_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE);

  std::string name = rt::format("GRAPH_{}", engine);
  for (const auto& [knob, value] : knobs) name += rt::format("_{}={}", knob, value);
  return Algorithm{id_of(name), name, 0, !noted(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC)};
}

ExecutionPlan build(cudnnHandle_t handle, Descriptor config) {
  Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, handle);
  plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
  plan.finalize("cudnnBackendFinalize of an execution plan");
  return {std::move(config), std::move(plan)};
}

// As the legacy API's handle, for as long as the process lives.
std::map<Convolution, Prepared>& prepared() {
  static auto& all = *new std::map<Convolution, Prepared>;
  return all;
}

}  // namespace

std::vector<Algorithm> graph_algorithms(cudnnHandle_t handle, const Convolution& c, cudnnDataType_t type) {
  std::vector<Algorithm> found;
  std::optional<Prepared> p;
  std::string why;  // the first refusal, said where nothing remains
  auto attempt = [&](auto&& step) {
    if (const std::string refused = refusal(step); why.empty()) why = refused;
  };
  attempt([&] { p.emplace(OperationGraph(handle, c, type)); });
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    if (std::ssize(found) >= most_plans) break;  // the fallback's are slow: for where there is little else
    std::vector<Descriptor> configs;
    if (p) attempt([&] { configs = proposals(p->graph, mode); });
    for (Descriptor& config : configs)
      attempt([&] {
        std::optional<Algorithm> a = identify(config, type);
        if (!a || (choices().deterministic && !a->deterministic) || p->plans.contains(a->id) ||
            std::ranges::count(found, a->deterministic, &Algorithm::deterministic) == most_plans)
          return;
        ExecutionPlan plan = build(handle, std::move(config));
        a->workspace_bytes = static_cast<size_t>(plan.plan.get<int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE));
        p->plans.emplace(a->id, std::move(plan));
        found.push_back(*a);
      });
  }
  if (found.empty())
    log_info("cuDNN's graph API has nothing for {}: {}", describe(c), why.empty() ? "no fit engine" : why);
  if (p) prepared().emplace(c, std::move(*p));
  return found;
}

void run_graph(cudnnHandle_t handle, const Convolution& c, int algorithm, const Operands& o) {
  const ExecutionPlan& plan = prepared().at(c).plans.at(algorithm);
  const std::string why = refusal([&] {
    void *a = const_cast<void*>(o.a), *b = const_cast<void*>(o.b);
    using Pointers = std::array<void*, 3>;  // x, w and y
    const Pointers pointers = c.pass == Conv2dPass::forward ? Pointers{a, b, o.out}
                              : c.pass == Conv2dPass::dx    ? Pointers{o.out, b, a}
                                                            : Pointers{b, o.out, a};
    Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    if (c.stats) {
      void *sums = o.sums, *squares = o.sums + c.shape.k;
      pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, operand_ids);
      pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, std::array{pointers[0], pointers[1], pointers[2], sums, squares});
    } else {
      pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, std::array{operand_ids[0], operand_ids[1], operand_ids[2]});
      pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, pointers);
    }
    pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, o.workspace);
    pack.finalize("cudnnBackendFinalize of a variant pack");
    require(cudnnBackendExecute(handle, plan.plan.raw(), pack.raw()), "cudnnBackendExecute");
  });
  if (!why.empty()) fail(ExitCode::device, "cuDNN: {}", why);
}

}  // namespace rt::cudnn
