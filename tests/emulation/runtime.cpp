// A CUDA device made of the host's memory: streams, events, graphs. Streams hold back their work until somebody waits
// for it, copies from pinned memory read it only then, and fresh memory is full of NaNs: what a program forgets to wait
// for or to write shows.
#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "core/check.hpp"
#include "core/cuda.hpp"
#include "core/divide.hpp"
#include "core/tensor.hpp"
#include "emulation/device.hpp"
#include "emulation/emulation.hpp"
#include "emulation/fibers.hpp"

namespace rt::emulation {

namespace {

using Work = std::function<void()>;
struct Stream {
  std::deque<Work> queue;
  std::vector<Work>* capture = nullptr;
  bool early = false;  // does not wait for somebody to wait for it
  void add(Work w) {
    if (capture) return capture->push_back(std::move(w));
    queue.push_back(std::move(w));
    if (early) run();
  }
  void run() {
    RT_CHECK(!capture, "emulated stream: waiting while a graph is captured");
    while (!queue.empty()) {
      Work w = std::move(queue.front());
      queue.pop_front();
      w();
    }
  }
};
Stream compute, copy;
Stream& stream_of(void* p) { return *static_cast<Stream*>(p); }

struct EventState {
  int64_t recorded = 0, happened = 0;
  Stream* stream = nullptr;
};
std::map<const void*, size_t> pinned, device;  // start -> bytes
bool inside(const std::map<const void*, size_t>& blocks, const void* p, size_t bytes) {
  auto it = blocks.upper_bound(p);
  if (it == blocks.begin()) return false;
  --it;
  const auto start = reinterpret_cast<uintptr_t>(it->first), at = reinterpret_cast<uintptr_t>(p);
  return at + bytes <= start + it->second;
}
void need_device(const void* p, size_t bytes, const char* what) {
  RT_CHECK(inside(device, p, bytes), "emulated {}: the address is not device memory", what);
}

Profile& profile_state() {
  static Profile p;
  return p;
}

}  // namespace

void enqueue_launch(void* stream, dim3 grid, dim3 block, size_t shared_bytes, std::function<void()> kernel) {
  cuda::counters().launches += 1;
  stream_of(stream).add([=] { run_kernel(grid, block, shared_bytes, kernel); });
}
void enqueue(void* stream, std::function<void()> work) { stream_of(stream).add(std::move(work)); }
void set_early_copies(bool early) { copy.early = early; }
void set_profile(const Profile& p) { profile_state() = p; }

}  // namespace rt::emulation

namespace rt::cuda {
using namespace rt::emulation;

const Support& support() {
  static Support s;  // callers keep references into it: made anew only when a test sets another profile
  static Profile made_for{.capability = 0};
  const Profile& p = profile_state();
  if (made_for.capability == p.capability && made_for.total_bytes == p.total_bytes) return s;
  made_for = p;
  s = {.driver = 13000,
       .runtime = 13000,
       .cudnn = 91002,
       .cublas = 120000,
       .architectures = {61, 90},
       .devices = {{.index = 0,
                    .name = "emulated device",
                    .capability = p.capability,
                    .multiprocessors = 1,
                    .total_bytes = p.total_bytes}}};
  return s;
}
void use(int index) { RT_CHECK(index == 0, "CUDA: there is no emulated device {}", index); }
int device_in_use() { return 0; }
size_t free_bytes() {
  return profile_state().total_bytes - std::min(profile_state().total_bytes, counters().allocated_bytes);
}

void* allocate(size_t bytes) {
  RT_CHECK(!compute.capture, "emulated device: allocation while a graph is captured");
  if (bytes > free_bytes())
    fail(ExitCode::device, "out of GPU memory: could not allocate {} bytes, {} are free", bytes, free_bytes());
  const size_t rounded = round_up(std::max<size_t>(bytes, 1), 256);
  void* p = std::aligned_alloc(256, rounded);
  std::memset(p, 0xff, rounded);
  device[p] = bytes;
  Counters& c = counters();
  c.allocations += 1;
  c.allocated_bytes += bytes;
  c.peak_bytes = std::max(c.peak_bytes, c.allocated_bytes);
  return p;
}
void release(void* p) {
  if (!p) return;
  compute.run();
  copy.run();
  counters().allocated_bytes -= device.at(p);
  device.erase(p);
  std::free(p);
}
void* allocate_pinned(size_t bytes) {
  void* p = std::malloc(std::max<size_t>(bytes, 1));
  pinned[p] = bytes;
  return p;
}
void release_pinned(void* p) {
  if (!p) return;
  compute.run();
  copy.run();
  pinned.erase(p);
  std::free(p);
}
void* compute_stream() { return &compute; }
void* copy_stream() { return &copy; }

void copy_to_device(void* to, const void* from, size_t bytes, void* stream) {
  need_device(to, bytes, "copy to the device");
  counters().to_device_bytes += static_cast<int64_t>(bytes);
  if (inside(pinned, from, bytes)) return stream_of(stream).add([=] { std::memcpy(to, from, bytes); });
  const auto* first = static_cast<const unsigned char*>(from);  // pageable memory is read before the call returns
  stream_of(stream).add([to, bytes, held = std::vector<unsigned char>(first, first + bytes)] {
    if (bytes) std::memcpy(to, held.data(), bytes);
  });
}
void copy_to_host(void* to, const void* from, size_t bytes, void* stream) {
  need_device(from, bytes, "copy to the host");
  counters().to_host_bytes += static_cast<int64_t>(bytes);
  stream_of(stream).add([=] { std::memcpy(to, from, bytes); });
  if (!inside(pinned, to, bytes)) {
    counters().host_waits += 1;
    stream_of(stream).run();
  }
}
void copy_on_device(void* to, const void* from, size_t bytes, void* stream) {
  need_device(to, bytes, "copy");
  need_device(from, bytes, "copy");
  stream_of(stream).add([=] { std::memmove(to, from, bytes); });
}
void fill_zero(void* to, size_t bytes, void* stream) {
  need_device(to, bytes, "fill");
  stream_of(stream).add([=] { std::memset(to, 0, bytes); });
}
void synchronize(void* stream) {
  counters().host_waits += 1;
  stream_of(stream).run();
}

Event::Event() : handle_(new std::shared_ptr<EventState>(std::make_shared<EventState>())) {}
Event::~Event() { delete static_cast<std::shared_ptr<EventState>*>(handle_); }
void Event::record(void* stream) {
  auto state = *static_cast<std::shared_ptr<EventState>*>(handle_);
  state->recorded += 1;
  state->stream = &stream_of(stream);
  stream_of(stream).add([state] { state->happened += 1; });
}
bool Event::done() const {
  const auto& state = *static_cast<std::shared_ptr<EventState>*>(handle_);
  return state->happened == state->recorded;
}
void Event::wait() {
  if (done()) return;
  counters().host_waits += 1;
  (*static_cast<std::shared_ptr<EventState>*>(handle_))->stream->run();
}
void Event::hold(void* stream) {
  auto state = *static_cast<std::shared_ptr<EventState>*>(handle_);
  stream_of(stream).add([state, until = state->recorded] {
    while (state->happened < until) {
      RT_CHECK(!state->stream->queue.empty(), "emulated stream: waiting for an event that cannot happen");
      Work w = std::move(state->stream->queue.front());
      state->stream->queue.pop_front();
      w();
    }
  });
}

void Graph::reset() {
  delete static_cast<std::vector<Work>*>(handle_);
  handle_ = nullptr;
}
void Graph::begin(void* stream) { stream_of(stream).capture = new std::vector<Work>; }
void Graph::abandon(void* stream) {
  delete stream_of(stream).capture;
  stream_of(stream).capture = nullptr;
}
Graph Graph::end(void* stream) {
  Graph g;
  g.handle_ = std::exchange(stream_of(stream).capture, nullptr);
  return g;
}
void Graph::launch(void* stream) {
  counters().graph_launches += 1;
  for (const Work& w : *static_cast<std::vector<Work>*>(handle_)) stream_of(stream).add(w);
}

Counters& counters() {
  static Counters c;
  return c;
}

}  // namespace rt::cuda
