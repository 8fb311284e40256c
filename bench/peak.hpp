// The two ceilings a kernel can hit on this machine, measured with the threads in use: multiply-adds in registers, and
// memory traffic of a triad a = b + s*c (12 bytes an element: what a kernel must read and write, without the extra read
// that a store into uncached memory causes). Values that stay in a cache between steps may exceed the second.
#pragma once
#include "core/tensor.hpp"

namespace rt {

struct Peak {
  double gflops;  // f32, of the best instruction set allowed (RT_FORCE_ISA counts)
  double gbps;
};
Peak measure_peak(double seconds = 0.3);  // for each of the two; the best repeat counts
// The same two of the CUDA device in use: the library's product of two large random matrices, and a large copy (bytes
// read and written).
Peak measure_cuda_peak(DType precision);

}  // namespace rt
