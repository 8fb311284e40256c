// RT_HOST_DEVICE marks what CUDA kernels call as well as the host.
#pragma once

#if defined(__CUDACC__)
#define RT_HOST_DEVICE __host__ __device__
#else
#define RT_HOST_DEVICE
#endif
