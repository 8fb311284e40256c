// CUDA as the engine sees it: what is there, memory, streams, events, graphs. These functions exist three times and a
// program links one set: core/cuda_runtime.cu (the CUDA runtime), core/cuda_none.cpp (a build without CUDA), and for
// tests tests/emulation/runtime.cpp (a device made of the host's memory, whose streams run late and whose kernels run
// fiber by fiber). Everything here throws Error(device) with the call that failed.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace rt {

// "6.1" for 61, as compute capabilities are counted here.
inline std::string capability_text(int capability) {
  return std::to_string(capability / 10) + "." + std::to_string(capability % 10);
}

}  // namespace rt

namespace rt::cuda {

struct DeviceInfo {
  int index = 0;
  std::string name;
  int capability = 0;  // 61, 90
  int multiprocessors = 0;
  size_t total_bytes = 0;
  std::string problem;  // why this program cannot compute on it, and what to install; "" when it can
};

struct Support {
  std::string problem;             // why no device can be used; "" when one can
  int driver = 0, runtime = 0;     // as CUDA counts: 12040; driver is the newest runtime it serves, 0: no driver
  int cudnn = 0, cublas = 0;       // as they count: 91002
  std::vector<int> architectures;  // that kernels were compiled for; empty: no CUDA in this build
  std::vector<DeviceInfo> devices;
};
const Support& support();  // probed at the first call

void use(int index);  // computes on that device from now on; before anything else of this process does
int device_in_use();

// Memory. allocate() is stream-ordered where the device can; contents unspecified.
void* allocate(size_t bytes);
void release(void* p);
void* allocate_pinned(size_t bytes);  // of the host, for copies that run beside computing
void release_pinned(void* p);
size_t free_bytes();

// Streams. Work in one stream runs in order, after the call that enqueued it has returned.
void* compute_stream();
void* copy_stream();
void copy_to_device(void* to, const void* from, size_t bytes, void* stream);
void copy_to_host(void* to, const void* from, size_t bytes, void* stream);
void copy_on_device(void* to, const void* from, size_t bytes, void* stream);
void fill_zero(void* to, size_t bytes, void* stream);
void synchronize(void* stream);  // until all of it has run

class Event {
 public:
  Event();
  ~Event();
  Event(const Event&) = delete;
  void record(void* stream);
  void wait();              // the host waits until it has happened; at once where it was never recorded
  void hold(void* stream);  // what is enqueued there later waits for it
  bool done() const;

 private:
  void* handle_;
};

// Work recorded once and launched as a whole, with the addresses it had then.
class Graph {
 public:
  Graph() = default;
  ~Graph() { reset(); }
  Graph(Graph&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Graph& operator=(Graph&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  explicit operator bool() const { return handle_ != nullptr; }
  void reset();
  static void begin(void* stream);
  static void abandon(void* stream);  // after an error between begin and end
  static Graph end(void* stream);
  void launch(void* stream);

 private:
  void* handle_ = nullptr;
};

// What this process has asked of the device so far: tests and benchmarks read it.
struct Counters {
  int64_t allocations = 0, host_waits = 0;  // waits: synchronize(), and Event::wait() on what had not happened
  int64_t to_device_bytes = 0, to_host_bytes = 0;
  int64_t launches = 0, graph_launches = 0;
  size_t allocated_bytes = 0, peak_bytes = 0;  // of device memory
};
Counters& counters();

}  // namespace rt::cuda
