// What every .cu file starts with: the launch macro, 16-bit types as they lie in memory, 16-byte accesses. No other way
// to launch a kernel is used, so that tests can run all of them on the CPU (tests/emulation/device.hpp stands in for
// the toolkit there). House rules that keep compute capability 6.1 correct: whole-warp shuffles only, outside branches;
// arithmetic in f32 whatever the storage; no float4, half or bf16 atomics; at most 48 KB of static shared memory.
#pragma once
#ifdef RT_CUDA_SHIM
#include RT_CUDA_SHIM
#else
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "core/check.hpp"
#include "core/cuda.hpp"
namespace rt::cuda {
inline void check_launch(const char* kernel) {
  counters().launches += 1;
  if (const cudaError_t e = cudaGetLastError(); e != cudaSuccess)
    fail(ExitCode::device, "CUDA: launching {} failed: {}", kernel, cudaGetErrorString(e));
}
}  // namespace rt::cuda
#define RT_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                          \
  do {                                                                                     \
    kernel<<<grid, block, shared_bytes, static_cast<cudaStream_t>(stream)>>>(__VA_ARGS__); \
    ::rt::cuda::check_launch(#kernel);                                                     \
  } while (0)
#define RT_DYNAMIC_SHARED(type, name)                         \
  extern __shared__ __align__(16) unsigned char name##_raw[]; \
  type* name = reinterpret_cast<type*>(name##_raw)
#endif

#include <algorithm>

#include "core/divide.hpp"
#include "core/op.hpp"

namespace rt::cuda {

struct f16 {
  uint16_t bits;
};
struct bf16 {
  uint16_t bits;
};

__host__ __device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(bf16 x) {
  const uint32_t u = static_cast<uint32_t>(x.bits) << 16;
  float f;
  memcpy(&f, &u, sizeof f);
  return f;
}
#ifdef RT_CUDA_SHIM
inline float to_float(f16 x) { return f16_to_f32(x.bits); }
inline uint16_t f16_bits(float x) { return f32_to_f16(x); }
#else
__device__ inline float to_float(f16 x) { return __half2float(__ushort_as_half(x.bits)); }
__device__ inline uint16_t f16_bits(float x) { return __half_as_ushort(__float2half_rn(x)); }
#endif
template <class T>
__device__ T from_float(float x);
template <>
__device__ inline float from_float<float>(float x) {
  return x;
}
template <>
__device__ inline f16 from_float<f16>(float x) {
  return {f16_bits(x)};
}
template <>
__device__ inline bf16 from_float<bf16>(float x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  return {static_cast<uint16_t>(bf16_of_f32(u))};
}

template <class T, int n>
struct alignas(sizeof(T) * n) Pack {  // n adjacent elements in one access of at most 16 bytes
  T v[n];
};
template <class T>
constexpr int pack_of = static_cast<int>(16 / sizeof(T));

template <class T>
T* pointer(const View& view) {
  return static_cast<T*>(view.data);
}

// with_type(view.spec.dtype, [&](auto zero) { using T = decltype(zero); ... }) with T = float, f16 or bf16.
template <class F>
void with_type(DType dtype, F&& f) {
  if (dtype == DType::f32) return f(float{});
  if (dtype == DType::f16) return f(f16{});
  if (dtype == DType::bf16) return f(bf16{});
  fail(ExitCode::runtime, "the CUDA kernels work in f32, f16 and bf16, not {}", name_of(dtype));
}

// Blocks for n items, per_block in each; kernels step by the whole grid, so a bound on the grid is harmless.
inline unsigned blocks_for(int64_t n, int64_t per_block) {
  return static_cast<unsigned>(std::clamp<int64_t>(ceil_div(n, per_block), 1, 65535));
}

}  // namespace rt::cuda
