// The sum over a block of threads, in an order that depends on the block's size alone. Every thread of the block comes,
// and gets the result. For .cu files.
#pragma once
#include "kernels/cuda/cuda.hpp"

namespace rt::cuda {

template <class T>
__device__ T warp_sum(T x) {
  for (int lanes = 16; lanes > 0; lanes /= 2) x += __shfl_xor_sync(0xffffffffu, x, lanes);
  return x;
}

template <int threads, class T>
__device__ T block_sum(T x) {
  __shared__ T of_warp[threads / 32];
  x = warp_sum(x);
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = x;
  __syncthreads();
  T sum = of_warp[0];
  for (int w = 1; w < threads / 32; ++w) sum += of_warp[w];
  __syncthreads();  // the next sum uses the same memory
  return sum;
}

}  // namespace rt::cuda
