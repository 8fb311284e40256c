// All that the engine uses of cuBLAS. It exists twice and a program links one: cublas_api.cpp (the library), and for
// tests tests/emulation/cublas.cpp.
#pragma once
#include "core/tensor.hpp"

namespace rt::cublas {

int version();  // as cuBLAS counts: 120405
constexpr size_t workspace_bytes = size_t{32}
                                   << 20;  // taken on the device once: what cuBLAS recommends for 9.0, the largest

// out[rows,columns] = alpha * A * B + beta * out, with A [rows,terms] and B [terms,columns], sums in f32 (never TF32).
// All row-major; a transposed operand lies in memory as [terms,rows] or [columns,terms].
struct Gemm {
  int64_t rows, columns, terms;
  bool transpose_a = false, transpose_b = false;
  DType in = DType::f32, out = DType::f32;  // f32 to f32; f16 and bf16 to themselves or f32
  float alpha = 1, beta = 0;
};
void gemm(const Gemm& g, const void* a, const void* b, void* out, void* stream);

}  // namespace rt::cublas
