// A build without CUDA: says so, and does nothing else.
#include "core/check.hpp"
#include "core/cuda.hpp"

namespace rt::cuda {
namespace {
[[noreturn]] void none() { fail(ExitCode::device, "{}", support().problem); }
}  // namespace

const Support& support() {
  static const Support s{.problem = "this build of rtrain has no CUDA support (build it with: cmake --preset cuda)",
                         .architectures = {},
                         .devices = {}};
  return s;
}
void use(int) { none(); }
int device_in_use() { none(); }
void* allocate(size_t) { none(); }
void release(void*) {}
void* allocate_pinned(size_t) { none(); }
void release_pinned(void*) {}
size_t free_bytes() { none(); }
void* compute_stream() { none(); }
void* copy_stream() { none(); }
void copy_to_device(void*, const void*, size_t, void*) { none(); }
void copy_to_host(void*, const void*, size_t, void*) { none(); }
void copy_on_device(void*, const void*, size_t, void*) { none(); }
void fill_zero(void*, size_t, void*) { none(); }
void synchronize(void*) { none(); }
Event::Event() : handle_(nullptr) {}
Event::~Event() = default;
void Event::record(void*) { none(); }
void Event::wait() {}
void Event::hold(void*) { none(); }
bool Event::done() const { return true; }
void Graph::reset() {}
void Graph::begin(void*) { none(); }
void Graph::abandon(void*) {}
Graph Graph::end(void*) { none(); }
void Graph::launch(void*) { none(); }
Counters& counters() {
  static Counters c;
  return c;
}

}  // namespace rt::cuda
