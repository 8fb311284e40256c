// cuDNN itself, through its legacy convolution API: deprecated, but the one that exists unchanged from 8.9 to 9.x and
// that serves compute capability 6.1. The graph API's algorithms (cudnn_graph_api.cpp) stand behind its own. Handle and
// descriptors live as long as the process: the driver may be gone before destructors of statics run.
#include <cuda_runtime_api.h>
#include <cudnn.h>

#include <algorithm>
#include <iterator>
#include <map>

#include "core/cuda.hpp"
#include "kernels/conv2d/cudnn/cudnn_graph.hpp"

namespace rt::cudnn {
namespace {

void check(cudnnStatus_t status, const char* call) {
  if (status != CUDNN_STATUS_SUCCESS) fail(ExitCode::device, "cuDNN: {} failed: {}", call, reason(status));
}
void check(cudaError_t status, const char* call) {
  if (status != cudaSuccess) fail(ExitCode::device, "CUDA: {} failed: {}", call, cudaGetErrorString(status));
}
#define RT_TRY(call) check(call, #call)

cudnnHandle_t handle() {
  static cudnnHandle_t h = [] {
    cuda::compute_stream();  // fails with a word where no device is in use
    cudnnHandle_t made = nullptr;
    RT_TRY(cudnnCreate(&made));
    return made;
  }();
  return h;
}

struct Prepared {
  cudnnTensorDescriptor_t x, y;
  cudnnFilterDescriptor_t w;
  cudnnConvolutionDescriptor_t conv;
  std::vector<Algorithm> algorithms;
};

cudnnDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return CUDNN_DATA_FLOAT;
    case DType::f16:
      return CUDNN_DATA_HALF;
    case DType::bf16:
      return CUDNN_DATA_BFLOAT16;
    default:
      fail(ExitCode::runtime, "conv2d on CUDA: f32, f16 or bf16, not {}", name_of(dtype));
  }
}

void describe(Prepared& p, const Convolution& c) {
  const Conv2dShape& s = c.shape;
  const cudnnTensorFormat_t format = c.layout == Layout::nchw ? CUDNN_TENSOR_NCHW : CUDNN_TENSOR_NHWC;
  const cudnnDataType_t type = type_of(c.dtype);
  auto i = [](int64_t size) { return static_cast<int>(size); };
  RT_TRY(cudnnCreateTensorDescriptor(&p.x));
  RT_TRY(cudnnCreateTensorDescriptor(&p.y));
  RT_TRY(cudnnCreateFilterDescriptor(&p.w));
  RT_TRY(cudnnCreateConvolutionDescriptor(&p.conv));
  RT_TRY(cudnnSetTensor4dDescriptor(p.x, format, type, i(s.n), i(s.c), i(s.h), i(s.w)));
  RT_TRY(cudnnSetTensor4dDescriptor(p.y, format, type, i(s.n), i(s.k), i(s.p), i(s.q)));
  RT_TRY(cudnnSetFilter4dDescriptor(p.w, type, format, i(s.k), i(s.c), i(s.r), i(s.s)));
  RT_TRY(cudnnSetConvolution2dDescriptor(p.conv, s.pad, s.pad, s.stride, s.stride, 1, 1, CUDNN_CROSS_CORRELATION,
                                         CUDNN_DATA_FLOAT));
  // FMA, because the default lets f32 be rounded to TF32 from compute capability 8.0 up.
  RT_TRY(cudnnSetConvolutionMathType(p.conv, c.dtype == DType::f32 ? CUDNN_FMA_MATH : CUDNN_TENSOR_OP_MATH));
}

constexpr const char* forward_names[] = {
    "IMPLICIT_GEMM", "IMPLICIT_PRECOMP_GEMM", "GEMM", "DIRECT", "FFT", "FFT_TILING", "WINOGRAD", "WINOGRAD_NONFUSED"};
constexpr const char* dx_names[] = {"ALGO_0", "ALGO_1", "FFT", "FFT_TILING", "WINOGRAD", "WINOGRAD_NONFUSED"};
constexpr const char* dw_names[] = {"ALGO_0", "ALGO_1", "FFT", "ALGO_3", "WINOGRAD", "WINOGRAD_NONFUSED", "FFT_TILING"};
static_assert(std::size(forward_names) == CUDNN_CONVOLUTION_FWD_ALGO_COUNT);
static_assert(std::size(dx_names) == CUDNN_CONVOLUTION_BWD_DATA_ALGO_COUNT);
static_assert(std::size(dw_names) == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_COUNT);

// `list(count, results)` fills in what the library proposes, `workspace(algo)` is the size with our math type. An
// algorithm is proposed once per math type; the size also tells whether it works with ours.
template <class Perf, size_t n, class List, class Workspace>
std::vector<Algorithm> usable(const char* const (&names)[n], List list, Workspace workspace) {
  Perf results[2 * n];
  int count = 0;
  const cudnnStatus_t status = list(static_cast<int>(2 * n), &count, results);
  std::vector<Algorithm> found;
  if (status != CUDNN_STATUS_SUCCESS) return found;
  for (int i = 0; i < count; ++i) {
    const Perf& perf = results[i];
    const int id = static_cast<int>(perf.algo);
    size_t bytes = 0;
    if (perf.status != CUDNN_STATUS_SUCCESS ||
        std::any_of(found.begin(), found.end(), [&](const Algorithm& a) { return a.id == id; }) ||
        workspace(perf.algo, &bytes) != CUDNN_STATUS_SUCCESS)
      continue;
    found.push_back({id, names[id], bytes, perf.determinism == CUDNN_DETERMINISTIC});
  }
  return found;
}

std::vector<Algorithm> ask(const Prepared& p, Conv2dPass pass) {
  cudnnHandle_t h = handle();
  if (pass == Conv2dPass::forward)
    return usable<cudnnConvolutionFwdAlgoPerf_t>(
        forward_names,
        [&](int most, int* count, auto* results) {
          return cudnnGetConvolutionForwardAlgorithm_v7(h, p.x, p.w, p.conv, p.y, most, count, results);
        },
        [&](auto algo, size_t* bytes) {
          return cudnnGetConvolutionForwardWorkspaceSize(h, p.x, p.w, p.conv, p.y, algo, bytes);
        });
  if (pass == Conv2dPass::dx)
    return usable<cudnnConvolutionBwdDataAlgoPerf_t>(
        dx_names,
        [&](int most, int* count, auto* results) {
          return cudnnGetConvolutionBackwardDataAlgorithm_v7(h, p.w, p.y, p.conv, p.x, most, count, results);
        },
        [&](auto algo, size_t* bytes) {
          return cudnnGetConvolutionBackwardDataWorkspaceSize(h, p.w, p.y, p.conv, p.x, algo, bytes);
        });
  return usable<cudnnConvolutionBwdFilterAlgoPerf_t>(
      dw_names,
      [&](int most, int* count, auto* results) {
        return cudnnGetConvolutionBackwardFilterAlgorithm_v7(h, p.x, p.y, p.conv, p.w, most, count, results);
      },
      [&](auto algo, size_t* bytes) {
        return cudnnGetConvolutionBackwardFilterWorkspaceSize(h, p.x, p.y, p.conv, p.w, algo, bytes);
      });
}

const Prepared& prepared(const Convolution& c) {
  static auto& all = *new std::map<Convolution, Prepared>;
  auto it = all.find(c);
  if (it == all.end()) {
    Prepared p{};
    if (!c.stats) {
      describe(p, c);
      p.algorithms = ask(p, c.pass);
    }
    if (c.graph || c.stats)
      for (Algorithm& a : graph_algorithms(handle(), c, type_of(c.dtype))) p.algorithms.push_back(std::move(a));
    it = all.emplace(c, std::move(p)).first;
  }
  return it->second;
}

}  // namespace

int version() { return static_cast<int>(cudnnGetVersion()); }

const std::vector<Algorithm>& algorithms(const Convolution& c) { return prepared(c).algorithms; }

void run(const Convolution& c, int algorithm, const Operands& o, void* stream) {
  const Prepared& p = prepared(c);
  cudnnHandle_t h = handle();
  RT_TRY(cudnnSetStream(h, static_cast<cudaStream_t>(stream)));
  if (algorithm >= first_graph_id) return run_graph(h, c, algorithm, o);
  const float one = 1, zero = 0;
  switch (c.pass) {
    case Conv2dPass::forward:
      RT_TRY(cudnnConvolutionForward(h, &one, p.x, o.a, p.w, o.b, p.conv,
                                     static_cast<cudnnConvolutionFwdAlgo_t>(algorithm), o.workspace, o.workspace_bytes,
                                     &zero, p.y, o.out));
      break;
    case Conv2dPass::dx:
      RT_TRY(cudnnConvolutionBackwardData(h, &one, p.w, o.b, p.y, o.a, p.conv,
                                          static_cast<cudnnConvolutionBwdDataAlgo_t>(algorithm), o.workspace,
                                          o.workspace_bytes, &zero, p.x, o.out));
      break;
    case Conv2dPass::dw:
      RT_TRY(cudnnConvolutionBackwardFilter(h, &one, p.x, o.b, p.y, o.a, p.conv,
                                            static_cast<cudnnConvolutionBwdFilterAlgo_t>(algorithm), o.workspace,
                                            o.workspace_bytes, &zero, p.w, o.out));
      break;
  }
}

double timed(const std::function<void()>& work, int runs, void* stream) {
  struct Mark {
    cudaEvent_t event = nullptr;
    Mark() { RT_TRY(cudaEventCreate(&event)); }
    ~Mark() { cudaEventDestroy(event); }
  } before, after;
  // As one graph, since events around a single call would measure the host that enqueues it.
  cuda::Graph graph;
  try {
    work();  // loads code
    cuda::synchronize(stream);
    cuda::Graph::begin(stream);
    try {
      for (int i = 0; i < runs; ++i) work();
    } catch (...) {
      cuda::Graph::abandon(stream);
      throw;
    }
    graph = cuda::Graph::end(stream);
    graph.launch(stream);
    RT_TRY(cudaEventRecord(before.event, static_cast<cudaStream_t>(stream)));
    graph.launch(stream);
    RT_TRY(cudaEventRecord(after.event, static_cast<cudaStream_t>(stream)));
    RT_TRY(cudaEventSynchronize(after.event));
  } catch (...) {
    cudaGetLastError();  // else the next kernel's launch would be blamed
    throw;
  }
  float ms = 0;
  RT_TRY(cudaEventElapsedTime(&ms, before.event, after.event));
  return static_cast<double>(ms) / runs;
}

}  // namespace rt::cudnn
