// The CUDA runtime behind core/cuda.hpp. This is a .cu file because only what nvcc compiles knows the list of
// architectures that it was compiled for.
#include <cuda_runtime.h>

#include <algorithm>

#include "core/check.hpp"
#include "core/cuda.hpp"

#define RT_TRY(call)                                                                                     \
  do {                                                                                                   \
    const cudaError_t status_ = (call);                                                                  \
    if (status_ != cudaSuccess)                                                                          \
      ::rt::fail(::rt::ExitCode::device, "CUDA: {} failed: {} ({})", #call, cudaGetErrorString(status_), \
                 cudaGetErrorName(status_));                                                             \
  } while (0)

namespace rt {
namespace cudnn {
int version();
}
namespace cublas {
int version();
}
}  // namespace rt

namespace rt::cuda {
namespace {

cudaStream_t stream_of(void* p) { return static_cast<cudaStream_t>(p); }

std::vector<int> compiled_architectures() {
  std::vector<int> list;
  for (int arch : {__CUDA_ARCH_LIST__}) list.push_back(arch / 10);
  return list;
}

// A cubin runs on its own architecture and on later minor revisions of it; the newest one's PTX on everything later.
std::string problem_of(int capability, const Support& s) {
  const int newest = *std::max_element(s.architectures.begin(), s.architectures.end());
  const bool covered = capability > newest || std::any_of(s.architectures.begin(), s.architectures.end(), [&](int a) {
                         return a / 10 == capability / 10 && a <= capability;
                       });
  if (!covered) {
    std::string have;
    for (int a : s.architectures) have += (have.empty() ? "" : ", ") + capability_text(a);
    return rt::format(
        "compute capability {} is not among those this program was compiled for ({}){}", capability_text(capability),
        have,
        capability < 75 ? "; it needs a build with CUDA 12.9 or older and cuDNN 9.10.2 or older (cmake --preset pascal)"
                        : "; build rtrain with a CUDA toolkit that knows it (cmake --preset cuda)");
  }
  if (capability < 75 && s.cudnn >= 91100)
    return rt::format(
        "cuDNN {}.{}.{} no longer serves compute capability {}; install cuDNN 9.10.2 or older (the Python package "
        "nvidia-cudnn-cu12==9.10.2.21 holds it)",
        s.cudnn / 10000, s.cudnn / 100 % 100, s.cudnn % 100, capability_text(capability));
  return "";
}

Support probe() {
  Support s;
  s.architectures = compiled_architectures();
  s.cudnn = cudnn::version();
  s.cublas = cublas::version();
  cudaRuntimeGetVersion(&s.runtime);
  if (cudaDriverGetVersion(&s.driver) != cudaSuccess) s.driver = 0;
  int count = 0;
  const cudaError_t found = cudaGetDeviceCount(&count);
  if (s.driver == 0) {
    s.problem = "there is no NVIDIA driver on this machine";
  } else if (found == cudaErrorInsufficientDriver) {
    s.problem = rt::format("the NVIDIA driver serves CUDA up to {}.{}, this program uses {}.{}; install a newer driver",
                           s.driver / 1000, s.driver % 1000 / 10, s.runtime / 1000, s.runtime % 1000 / 10);
  } else if (found != cudaSuccess || count == 0) {
    s.problem = found == cudaSuccess || found == cudaErrorNoDevice
                    ? "the NVIDIA driver sees no device"
                    : rt::format("the NVIDIA driver cannot be used: {}", cudaGetErrorString(found));
  }
  cudaGetLastError();
  for (int i = 0; s.problem.empty() && i < count; ++i) {
    cudaDeviceProp p{};
    if (const cudaError_t e = cudaGetDeviceProperties(&p, i); e != cudaSuccess) {
      s.devices.push_back({.index = i, .name = "unknown", .problem = cudaGetErrorString(e)});
      continue;
    }
    DeviceInfo d{.index = i,
                 .name = p.name,
                 .capability = p.major * 10 + p.minor,
                 .multiprocessors = p.multiProcessorCount,
                 .total_bytes = p.totalGlobalMem};
    d.problem = problem_of(d.capability, s);
    s.devices.push_back(d);
  }
  const bool any =
      std::any_of(s.devices.begin(), s.devices.end(), [](const DeviceInfo& d) { return d.problem.empty(); });
  if (s.problem.empty() && !any) s.problem = rt::format("{}: {}", s.devices[0].name, s.devices[0].problem);
  return s;
}

int g_device = -1;
bool g_pools = false;
cudaStream_t g_compute = nullptr, g_copy = nullptr;

void need_device() { RT_CHECK(g_device >= 0, "CUDA: no device was chosen yet"); }

}  // namespace

const Support& support() {
  static const Support s = probe();
  return s;
}

void use(int index) {
  if (index == g_device) return;
  RT_CHECK(g_device < 0, "CUDA: device {} is in use, cannot change to {}", g_device, index);
  RT_TRY(cudaSetDevice(index));
  RT_TRY(cudaStreamCreateWithFlags(&g_compute, cudaStreamNonBlocking));
  RT_TRY(cudaStreamCreateWithFlags(&g_copy, cudaStreamNonBlocking));
  int pools = 0;
  RT_TRY(cudaDeviceGetAttribute(&pools, cudaDevAttrMemoryPoolsSupported, index));
  g_pools = pools != 0;
  if (g_pools) {  // eager steps allocate often: keep what was given back instead of returning it to the driver
    cudaMemPool_t pool;
    RT_TRY(cudaDeviceGetDefaultMemPool(&pool, index));
    uint64_t keep = uint64_t{256} << 20;
    RT_TRY(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep));
  }
  g_device = index;
}
int device_in_use() { return g_device; }

namespace {
struct Block {
  void* p;
  size_t bytes;
};
std::vector<Block> g_blocks;  // few: arenas, flat buffers, staging
}  // namespace

void* allocate(size_t bytes) {
  need_device();
  const size_t size = std::max<size_t>(bytes, 256);
  void* p = nullptr;
  const cudaError_t status = g_pools ? cudaMallocAsync(&p, size, g_compute) : cudaMalloc(&p, size);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    constexpr double mib = 1 << 20;
    fail(ExitCode::device,
         "out of GPU memory: could not allocate {:.0f} MiB, {:.0f} MiB are free and {:.0f} MiB in use by this process; "
         "a smaller train.batch needs less",
         static_cast<double>(bytes) / mib, static_cast<double>(free_bytes()) / mib,
         static_cast<double>(counters().allocated_bytes) / mib);
  }
  RT_TRY(status);
  g_blocks.push_back({p, size});
  Counters& c = counters();
  c.allocations += 1;
  c.allocated_bytes += size;
  c.peak_bytes = std::max(c.peak_bytes, c.allocated_bytes);
  return p;
}

void release(void* p) {
  if (p == nullptr) return;
  const auto it = std::find_if(g_blocks.begin(), g_blocks.end(), [&](const Block& b) { return b.p == p; });
  if (it != g_blocks.end()) {
    counters().allocated_bytes -= it->bytes;
    g_blocks.erase(it);
  }
  if (g_pools)
    cudaFreeAsync(p, g_compute);
  else
    cudaFree(p);
}

void* allocate_pinned(size_t bytes) {
  void* p = nullptr;
  RT_TRY(cudaHostAlloc(&p, std::max<size_t>(bytes, 64), cudaHostAllocDefault));
  return p;
}
void release_pinned(void* p) {
  if (p) cudaFreeHost(p);
}

size_t free_bytes() {
  size_t free = 0, total = 0;
  cudaMemGetInfo(&free, &total);
  return free;
}

void* compute_stream() {
  need_device();
  return g_compute;
}
void* copy_stream() {
  need_device();
  return g_copy;
}

void copy_to_device(void* to, const void* from, size_t bytes, void* stream) {
  counters().to_device_bytes += static_cast<int64_t>(bytes);
  RT_TRY(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_of(stream)));
}
void copy_to_host(void* to, const void* from, size_t bytes, void* stream) {
  counters().to_host_bytes += static_cast<int64_t>(bytes);
  RT_TRY(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_of(stream)));
}
void copy_on_device(void* to, const void* from, size_t bytes, void* stream) {
  RT_TRY(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_of(stream)));
}
void fill_zero(void* to, size_t bytes, void* stream) {
  if (bytes > 0) RT_TRY(cudaMemsetAsync(to, 0, bytes, stream_of(stream)));
}
void synchronize(void* stream) {
  counters().host_waits += 1;
  RT_TRY(cudaStreamSynchronize(stream_of(stream)));
}

Event::Event() : handle_(nullptr) {
  cudaEvent_t e;
  RT_TRY(cudaEventCreateWithFlags(&e, cudaEventDisableTiming));
  handle_ = e;
}
Event::~Event() { cudaEventDestroy(static_cast<cudaEvent_t>(handle_)); }
void Event::record(void* stream) { RT_TRY(cudaEventRecord(static_cast<cudaEvent_t>(handle_), stream_of(stream))); }
void Event::wait() {
  if (done()) return;
  counters().host_waits += 1;
  RT_TRY(cudaEventSynchronize(static_cast<cudaEvent_t>(handle_)));
}
void Event::hold(void* stream) { RT_TRY(cudaStreamWaitEvent(stream_of(stream), static_cast<cudaEvent_t>(handle_), 0)); }
bool Event::done() const {
  const cudaError_t status = cudaEventQuery(static_cast<cudaEvent_t>(handle_));
  if (status == cudaErrorNotReady) {
    cudaGetLastError();
    return false;
  }
  RT_TRY(status);
  return true;
}

void Graph::reset() {
  if (handle_) cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(handle_));
  handle_ = nullptr;
}
void Graph::begin(void* stream) { RT_TRY(cudaStreamBeginCapture(stream_of(stream), cudaStreamCaptureModeThreadLocal)); }
void Graph::abandon(void* stream) {
  cudaGraph_t graph = nullptr;
  cudaStreamEndCapture(stream_of(stream), &graph);
  if (graph) cudaGraphDestroy(graph);
  cudaGetLastError();
}
Graph Graph::end(void* stream) {
  cudaGraph_t graph = nullptr;
  RT_TRY(cudaStreamEndCapture(stream_of(stream), &graph));
  cudaGraphExec_t exec = nullptr;
  const cudaError_t status = cudaGraphInstantiateWithFlags(&exec, graph, 0);
  cudaGraphDestroy(graph);
  RT_TRY(status);
  Graph g;
  g.handle_ = exec;
  return g;
}
void Graph::launch(void* stream) {
  counters().graph_launches += 1;
  RT_TRY(cudaGraphLaunch(static_cast<cudaGraphExec_t>(handle_), stream_of(stream)));
}

Counters& counters() {
  static Counters c;
  return c;
}

}  // namespace rt::cuda
