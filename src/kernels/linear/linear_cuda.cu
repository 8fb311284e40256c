// The classifier: cuBLAS multiplies, two small kernels do the bias. In half precision the product stays f32 in the
// workspace until the bias has been added, so that y is rounded once.
#include "kernels/cuda/cuda.hpp"
#include "kernels/linear/cublas.hpp"
#include "kernels/linear/linear.hpp"

namespace rt::cuda {
namespace {

constexpr int threads = 256;

// y may be the product.
template <class T>
__global__ void add_bias(int64_t n, int64_t columns, const float* product, const float* bias, T* y) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += step)
    y[i] = from_float<T>(product[i] + bias[i % columns]);
}

// 32 columns a block; thread row y sums rows y, y+8, ..., and the eight sums are added in order.
constexpr int width = 32, height = 8;
template <class T>
__global__ void sum_columns(int64_t rows, int64_t columns, const T* x, float* sums) {
  __shared__ float part[height][width];
  const int tx = static_cast<int>(threadIdx.x), ty = static_cast<int>(threadIdx.y);
  const int64_t column = int64_t{blockIdx.x} * width + tx;
  float sum = 0;
  if (column < columns)
    for (int64_t i = ty; i < rows; i += height) sum += to_float(x[i * columns + column]);
  part[ty][tx] = sum;
  __syncthreads();
  if (ty != 0 || column >= columns) return;
  for (int i = 1; i < height; ++i) sum += part[i][tx];
  sums[column] = sum;
}

bool has_own_sums(DType dtype) { return dtype != DType::f32; }

}  // namespace

size_t linear_forward_workspace(const Problem& p) {
  return has_own_sums(p.out[0].dtype) ? static_cast<size_t>(p.out[0].shape.numel()) * sizeof(float) : 0;
}

void linear_forward(const Args& a) {
  const Spec &x = a.in[0].spec, &w = a.in[1].spec, &y = a.out[0].spec;
  float* product = static_cast<float*>(has_own_sums(y.dtype) ? a.workspace : a.out[0].data);
  cublas::gemm({.rows = x.shape[0], .columns = w.shape[0], .terms = x.shape[1], .transpose_b = true, .in = x.dtype},
               a.in[0].data, a.in[1].data, product, a.stream);
  with_type(y.dtype, [&](auto zero) {
    using T = decltype(zero);
    RT_LAUNCH((add_bias<T>), blocks_for(a.out[0].numel(), threads), threads, 0, a.stream, a.out[0].numel(), y.shape[1],
              product, pointer<float>(a.in[2]), pointer<T>(a.out[0]));
  });
}

void linear_dx(const Args& a) {
  const Spec &dy = a.in[0].spec, &w = a.in[1].spec;
  cublas::gemm(
      {.rows = dy.shape[0], .columns = w.shape[1], .terms = dy.shape[1], .in = dy.dtype, .out = a.out[0].spec.dtype},
      a.in[0].data, a.in[1].data, a.out[0].data, a.stream);
}

void linear_dw(const Args& a) {
  const Spec &dy = a.in[0].spec, &x = a.in[1].spec;
  cublas::gemm({.rows = dy.shape[1],
                .columns = x.shape[1],
                .terms = dy.shape[0],
                .transpose_a = true,
                .in = dy.dtype,
                .out = a.out[0].spec.dtype},
               a.in[0].data, a.in[1].data, a.out[0].data, a.stream);
}

void linear_dbias(const Args& a) {
  const Shape& dy = a.in[0].shape();
  with_type(a.in[0].spec.dtype, [&](auto zero) {
    using T = decltype(zero);
    RT_LAUNCH((sum_columns<T>), static_cast<unsigned>(ceil_div(dy[1], width)), dim3(width, height), 0, a.stream, dy[0],
              dy[1], pointer<T>(a.in[0]), a.out[0].as<float>());
  });
}

}  // namespace rt::cuda
