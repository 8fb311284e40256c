// CUDA's language for a C++ compiler: with this header in place of the toolkit's, a .cu file of src/kernels becomes
// ordinary code. A kernel runs block by block, each thread a fiber with a stack of its own; threads of a block take
// turns in random order and switch only at barriers and shuffles, so a missing barrier shows as a wrong result, and the
// address sanitizer sees every access. What CUDA leaves undefined (a barrier that some threads do not reach, a shuffle
// without the whole warp) is an error.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

namespace rt::emulation {

struct Thread {
  dim3 index;
  int lane, warp;
};
extern Thread* thread;  // the one that runs
extern dim3 block_index, block_size, grid_size;
extern void* dynamic_shared;

void barrier();
void check_full_mask(unsigned mask);
uint64_t exchange(uint64_t value, int from_lane);  // value of another lane of the warp; every lane must come
// Runs `body` for every thread of every block, when the stream gets there.
void enqueue_launch(void* stream, dim3 grid, dim3 block, size_t shared_bytes, std::function<void()> body);

template <class T>
T shuffle(unsigned mask, T value, int from_lane) {
  static_assert(sizeof(T) <= 8);
  check_full_mask(mask);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = exchange(bits, from_lane);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, void* stream, A... arguments) {
  std::tuple<P...> values(arguments...);  // converted as the call would, and copied: the launch happens later
  enqueue_launch(stream, grid, block, shared_bytes, [kernel, values] { std::apply(kernel, values); });
}

}  // namespace rt::emulation

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(...)
#define threadIdx (::rt::emulation::thread->index)
#define blockIdx (::rt::emulation::block_index)
#define blockDim (::rt::emulation::block_size)
#define gridDim (::rt::emulation::grid_size)
#define __syncthreads() ::rt::emulation::barrier()
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes) {
  return rt::emulation::shuffle(mask, value, rt::emulation::thread->lane ^ lanes);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, int lanes) {
  const int lane = rt::emulation::thread->lane;
  return rt::emulation::shuffle(mask, value, lane + lanes < 32 ? lane + lanes : lane);
}
template <class T>
T __shfl_sync(unsigned mask, T value, int lane) {
  return rt::emulation::shuffle(mask, value, lane);
}
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }

#define RT_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  ::rt::emulation::launch(kernel, grid, block, shared_bytes, stream, __VA_ARGS__)
#define RT_DYNAMIC_SHARED(type, name) type* name = static_cast<type*>(::rt::emulation::dynamic_shared)
