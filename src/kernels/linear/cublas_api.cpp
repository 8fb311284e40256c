// cuBLAS itself. The handle gets a workspace of its own: with the library's, a captured graph would hold memory that
// another stream may use. Handle and workspace live as long as the process.
#include <cublas_v2.h>

#include "core/cuda.hpp"
#include "kernels/linear/cublas.hpp"

namespace rt::cublas {
namespace {

void check(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS)
    fail(ExitCode::device, "cuBLAS: {} failed: {}", call, cublasGetStatusString(status));
}
#define RT_TRY(call) check(call, #call)

cublasHandle_t handle_on(void* stream) {
  static void* workspace = nullptr;
  static void* on = nullptr;
  static cublasHandle_t handle = [] {
    workspace = cuda::allocate(workspace_bytes);
    cublasHandle_t made = nullptr;
    RT_TRY(cublasCreate(&made));
    const int mode = CUBLAS_DEFAULT_MATH | CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
    RT_TRY(cublasSetMathMode(made, static_cast<cublasMath_t>(mode)));
    return made;
  }();
  if (on != stream) {  // which takes the workspace away again
    RT_TRY(cublasSetStream(handle, static_cast<cudaStream_t>(stream)));
    RT_TRY(cublasSetWorkspace(handle, workspace, workspace_bytes));
    on = stream;
  }
  return handle;
}

cudaDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return CUDA_R_32F;
    case DType::f16:
      return CUDA_R_16F;
    case DType::bf16:
      return CUDA_R_16BF;
    default:
      fail(ExitCode::runtime, "matrix products on CUDA: f32, f16 or bf16, not {}", name_of(dtype));
  }
}

}  // namespace

int version() {
  int major = 0, minor = 0, patch = 0;
  RT_TRY(cublasGetProperty(MAJOR_VERSION, &major));
  RT_TRY(cublasGetProperty(MINOR_VERSION, &minor));
  RT_TRY(cublasGetProperty(PATCH_LEVEL, &patch));
  return major * 10000 + minor * 100 + patch;
}

// The library is column-major: it sees every matrix transposed, so B comes first.
void gemm(const Gemm& g, const void* a, const void* b, void* out, void* stream) {
  const int rows = static_cast<int>(g.rows), columns = static_cast<int>(g.columns), terms = static_cast<int>(g.terms);
  const cublasComputeType_t compute = g.in == DType::f32 ? CUBLAS_COMPUTE_32F_PEDANTIC : CUBLAS_COMPUTE_32F;
  RT_TRY(cublasGemmEx(handle_on(stream), g.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                      g.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, columns, rows, terms, &g.alpha, b, type_of(g.in),
                      g.transpose_b ? terms : columns, a, type_of(g.in), g.transpose_a ? rows : terms, &g.beta, out,
                      type_of(g.out), columns, compute, CUBLAS_GEMM_DEFAULT));
}

}  // namespace rt::cublas
