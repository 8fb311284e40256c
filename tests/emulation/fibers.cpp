// The threads of an emulated kernel: a fiber each, one at a time, in random order; they change at barriers and shuffles
// only.
#include "emulation/fibers.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "core/check.hpp"
#include "emulation/device.hpp"
#include "emulation/emulation.hpp"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define RT_LEAVING(fake, bottom, size) __sanitizer_start_switch_fiber(fake, bottom, size)
#define RT_ENTERED(fake, bottom, size) __sanitizer_finish_switch_fiber(fake, bottom, size)
#else
#define RT_LEAVING(fake, bottom, size) (void)(fake)
#define RT_ENTERED(fake, bottom, size) (void)(fake)
#endif
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace rt::emulation {

Thread* thread = nullptr;
dim3 block_index, block_size, grid_size;
void* dynamic_shared = nullptr;

namespace {

constexpr size_t stack_bytes = 96 * 1024;
enum class State { ready, at_barrier, at_exchange, done };

struct Fiber : Thread {
  State state = State::ready;
  uint64_t generation = 0,
           slot[2] = {};  // of exchanges: two slots, since a fast lane is at most one ahead of a slow one
  void* fake_stack = nullptr;
#if defined(__x86_64__)
  void* stack_pointer = nullptr;
#else
  ucontext_t context;
#endif
  std::unique_ptr<unsigned char[]> stack;
};

std::vector<std::unique_ptr<Fiber>> fibers;  // made once, used by every launch
int live_threads = 0;
const std::function<void()>* body = nullptr;
std::mt19937 random_order(1);
void* main_fake_stack = nullptr;
[[maybe_unused]] const void* main_bottom = nullptr;
[[maybe_unused]] size_t main_size = 0;

#if defined(__x86_64__)
void* main_stack_pointer = nullptr;
extern "C" void rt_emulation_switch(void** save, void* to);
asm(R"(
.text
.globl rt_emulation_switch
.type rt_emulation_switch,@function
rt_emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size rt_emulation_switch,.-rt_emulation_switch
)");
void switch_to(Fiber& f) { rt_emulation_switch(&main_stack_pointer, f.stack_pointer); }
void switch_back(Fiber& f) { rt_emulation_switch(&f.stack_pointer, main_stack_pointer); }
#else
ucontext_t main_context;
void switch_to(Fiber& f) { swapcontext(&main_context, &f.context); }
void switch_back(Fiber& f) { swapcontext(&f.context, &main_context); }
#endif

void leave(State state) {  // back to the scheduler
  Fiber& f = *static_cast<Fiber*>(thread);
  f.state = state;
  RT_LEAVING(&f.fake_stack, main_bottom, main_size);
  switch_back(f);
  RT_ENTERED(f.fake_stack, &main_bottom, &main_size);
}

void fiber_main() {
  RT_ENTERED(nullptr, &main_bottom, &main_size);
  for (;;) {
    (*body)();
    leave(State::done);
  }
}

void resume(Fiber& f) {
  thread = &f;
  RT_LEAVING(&main_fake_stack, f.stack.get(), stack_bytes);
  switch_to(f);
  RT_ENTERED(main_fake_stack, nullptr, nullptr);
}

std::unique_ptr<Fiber> make_fiber() {
  auto f = std::make_unique<Fiber>();
  f->stack = std::make_unique<unsigned char[]>(stack_bytes);
#if defined(__x86_64__)
  auto top = reinterpret_cast<uintptr_t>(f->stack.get() + stack_bytes) & ~uintptr_t{15};
  auto** slot = reinterpret_cast<void**>(top) - 2;  // 16-byte aligned: where a call would have left the return address
  *slot = reinterpret_cast<void*>(&fiber_main);
  for (int i = 0; i < 6; ++i) *--slot = nullptr;
  f->stack_pointer = slot;
#else
  getcontext(&f->context);
  f->context.uc_stack.ss_sp = f->stack.get();
  f->context.uc_stack.ss_size = stack_bytes;
  f->context.uc_link = nullptr;
  makecontext(&f->context, fiber_main, 0);
#endif
  return f;
}

bool warp_has_come(const Fiber& f) {
  for (int i = f.warp * 32; i < std::min(live_threads, f.warp * 32 + 32); ++i)
    if (fibers[static_cast<size_t>(i)]->state != State::done &&
        fibers[static_cast<size_t>(i)]->generation < f.generation)
      return false;
  return true;
}

void run_block(const std::vector<int>& order) {
  for (;;) {
    bool progress = false, all_done = true, all_waiting = true;
    for (int i : order) {
      Fiber& f = *fibers[static_cast<size_t>(i)];
      if (f.state == State::at_exchange && warp_has_come(f)) f.state = State::ready;
      if (f.state == State::ready) {
        resume(f);
        progress = true;
      }
      all_done &= f.state == State::done;
      all_waiting &= f.state == State::done || f.state == State::at_barrier;
    }
    if (all_done) return;
    if (all_waiting) {
      for (int i : order)
        if (Fiber& f = *fibers[static_cast<size_t>(i)]; f.state == State::at_barrier) f.state = State::ready;
    } else if (!progress) {
      fibers.clear();  // their stacks hold the kernel's middle
      fail(ExitCode::runtime, "emulated kernel: some threads wait at a barrier, others in a shuffle, for ever");
    }
  }
}

}  // namespace

void run_kernel(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& kernel) {
  const int count = static_cast<int>(block.x * block.y * block.z);
  RT_CHECK(count >= 1 && count <= 1024, "emulated launch: {} threads in a block", count);
  RT_CHECK(grid.x >= 1 && grid.y >= 1 && grid.z >= 1 && grid.y <= 65535 && grid.z <= 65535,
           "emulated launch: grid {}x{}x{}", grid.x, grid.y, grid.z);
  RT_CHECK(shared_bytes <= 48 * 1024, "emulated launch: {} bytes of dynamic shared memory", shared_bytes);
  while (static_cast<int>(fibers.size()) < count) fibers.push_back(make_fiber());
  body = &kernel;
  block_size = block;
  grid_size = grid;
  live_threads = count;
  // 16-byte aligned, with its end close to the sanitizer's guard.
  const auto shared = std::make_unique<double[]>(shared_bytes / 8 + 1);
  std::memset(shared.get(), 0xff, shared_bytes);
  dynamic_shared = shared.get();
  std::vector<int> order(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) order[static_cast<size_t>(i)] = i;
  const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
  const bool backwards = random_order() & 1;
  for (uint64_t b = 0; b < blocks; ++b) {
    const uint64_t at = backwards ? blocks - 1 - b : b;
    block_index = dim3(static_cast<unsigned>(at % grid.x), static_cast<unsigned>(at / grid.x % grid.y),
                       static_cast<unsigned>(at / grid.x / grid.y));
    std::shuffle(order.begin(), order.end(), random_order);
    for (int i = 0; i < count; ++i) {
      Fiber& f = *fibers[static_cast<size_t>(i)];
      const unsigned u = static_cast<unsigned>(i);
      f.index = dim3(u % block.x, u / block.x % block.y, u / block.x / block.y);
      f.lane = i % 32;
      f.warp = i / 32;
      f.generation = 0;
      f.state = State::ready;
    }
    run_block(order);
  }
}

void barrier() { leave(State::at_barrier); }

void check_full_mask(unsigned mask) {
  if (mask != 0xffffffffu || live_threads % 32 != 0) {
    std::fprintf(stderr, "emulated kernel: a shuffle needs the full mask and whole warps, not %#x of %d threads\n",
                 mask, live_threads);
    std::abort();
  }
}

uint64_t exchange(uint64_t value, int from_lane) {
  Fiber& f = *static_cast<Fiber*>(thread);
  const uint64_t generation = ++f.generation;
  f.slot[generation & 1] = value;
  if (!warp_has_come(f)) leave(State::at_exchange);
  return fibers[static_cast<size_t>(f.warp * 32 + from_lane)]->slot[generation & 1];
}

void set_seed(unsigned seed) { random_order.seed(seed); }

}  // namespace rt::emulation
