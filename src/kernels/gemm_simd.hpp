// The one matrix product that every dense kernel stands on:  C[m x n] = A[m x depth] * B[depth x n], or += it.
// A and C are f32 matrices with a row stride; B comes in panels of `columns` columns, each of which stays in cache
// while the rows of A pass by. Each element of C is one chain of fused multiply-adds in the order of the depth,
// continued across calls by `accumulate`: its bits do not depend on m, n or tile sizes.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace rt {

struct GemmBlock {
  int64_t m, n, depth;
  const float* a;  // A(i,d) at a[i * a_row + d * a_step]; one of the two strides is 1
  int64_t a_row, a_step;
  const float* b;  // B(d,j) at b[j / columns * b_panel + d * b_step + j % columns]; readable to the panel's end
  int64_t b_panel, b_step;
  float* c;  // C(i,j) at c[i * c_row + j]; nothing beyond n columns is touched
  int64_t c_row;
  bool accumulate;
};

struct GemmKernels {
  int rows, columns;  // of the tile that is held in registers
  void (*multiply)(const GemmBlock&);
};

#ifdef RT_HAVE_AVX512
namespace avx512 {
extern const GemmKernels gemm_kernels;
}
#endif
#ifdef RT_HAVE_AVX2
namespace avx2 {
extern const GemmKernels gemm_kernels;
}
#endif
namespace baseline {
extern const GemmKernels gemm_kernels;
}

}  // namespace rt
