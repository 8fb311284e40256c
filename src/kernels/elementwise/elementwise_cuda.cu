// Element-wise kernels: bound by memory, so 16 bytes an access where the count allows, a grid that strides over the
// rest.
#include "kernels/cuda/cuda.hpp"
#include "kernels/elementwise/elementwise.hpp"

namespace rt::cuda {
namespace {

constexpr int threads = 256;

struct Relu {
  __device__ float operator()(float x, float) const { return x > 0 ? x : (x != x ? x : 0.0f); }
};
struct ReluBackward {
  __device__ float operator()(float dy, float y) const { return y > 0 ? dy : 0.0f; }
};
struct Sum {
  __device__ float operator()(float a, float b) const { return a + b; }
};

// y[i] = f(a[i], b[i]); b is null where f needs one operand. y may be a. The last, incomplete pack goes to one thread.
template <class F, class A, class B>
__global__ void elementwise(int64_t n, const A* a, const B* b, A* y) {
  constexpr int width = pack_of<A>;
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n / width; i += step) {
    using PackA = Pack<A, width>;
    Pack<B, width> other{};
    PackA value = reinterpret_cast<const PackA*>(a)[i];
    if (b) other = reinterpret_cast<const Pack<B, width>*>(b)[i];
    for (int j = 0; j < width; ++j) value.v[j] = from_float<A>(F()(to_float(value.v[j]), to_float(other.v[j])));
    reinterpret_cast<PackA*>(y)[i] = value;
  }
  if (blockIdx.x == 0 && threadIdx.x == 0)
    for (int64_t i = n / width * width; i < n; ++i)
      y[i] = from_float<A>(F()(to_float(a[i]), b ? to_float(b[i]) : 0.0f));
}

template <class F>
void run(const Args& a, const View* b) {
  const int64_t n = a.in[0].numel();
  with_type(a.in[0].spec.dtype, [&](auto zero_a) {
    using A = decltype(zero_a);
    with_type(b ? b->spec.dtype : a.in[0].spec.dtype, [&](auto zero_b) {
      using B = decltype(zero_b);
      if constexpr (sizeof(B) <= sizeof(A))  // a gradient is never added to one of less precision
        RT_LAUNCH((elementwise<F, A, B>), blocks_for(n, threads * pack_of<A>), threads, 0, a.stream, n,
                  pointer<A>(a.in[0]), b ? pointer<B>(*b) : nullptr, pointer<A>(a.out[0]));
      else
        fail(ExitCode::runtime, "{} and {} cannot be added", a.in[0].spec.str(), b->spec.str());
    });
  });
}

// Any two types and layouts: 32x32 tiles through shared memory where the memory order changes, so that both sides are
// read and written along their rows. Matrix [rows, columns] per image: channels x pixels or the reverse.
constexpr int tile = 32, tile_rows = 8;
template <class A, class B>
__global__ void transpose(int rows, int columns, const A* x, B* y) {
  __shared__ float block[tile][tile + 1];
  const int64_t image = int64_t{blockIdx.z} * rows * columns;
  const int c = static_cast<int>(blockIdx.x) * tile, r = static_cast<int>(blockIdx.y) * tile;
  const int tx = static_cast<int>(threadIdx.x), ty = static_cast<int>(threadIdx.y);
  for (int i = ty; i < tile; i += tile_rows)
    if (r + i < rows && c + tx < columns) block[i][tx] = to_float(x[image + int64_t{r + i} * columns + c + tx]);
  __syncthreads();
  for (int i = ty; i < tile; i += tile_rows)
    if (c + i < columns && r + tx < rows) y[image + int64_t{c + i} * rows + r + tx] = from_float<B>(block[tx][i]);
}

// Several arrays, the blocks of one y for each.
constexpr int most_casts = 64;
template <class A, class B>
struct Casts {
  int64_t n[most_casts];
  const A* x[most_casts];
  B* y[most_casts];
};
template <class A, class B>
__global__ void cast(Casts<A, B> all) {
  const int64_t n = all.n[blockIdx.y];
  const A* x = all.x[blockIdx.y];
  B* y = all.y[blockIdx.y];
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  constexpr int width = 4;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n / width; i += step) {
    const Pack<A, width> from = reinterpret_cast<const Pack<A, width>*>(x)[i];
    Pack<B, width> to;
    for (int j = 0; j < width; ++j) to.v[j] = from_float<B>(to_float(from.v[j]));
    reinterpret_cast<Pack<B, width>*>(y)[i] = to;
  }
  if (blockIdx.x == 0 && threadIdx.x == 0)
    for (int64_t i = n / width * width; i < n; ++i) y[i] = from_float<B>(to_float(x[i]));
}

template <class A, class B>
void cast_all(const Args& a) {
  for (size_t first = 0; first < a.in.size(); first += most_casts) {
    const size_t count = std::min<size_t>(most_casts, a.in.size() - first);
    Casts<A, B> all;
    int64_t most = 0;
    for (size_t k = 0; k < count; ++k) {
      all.n[k] = a.in[first + k].numel();
      all.x[k] = pointer<A>(a.in[first + k]), all.y[k] = pointer<B>(a.out[first + k]);
      most = std::max(most, all.n[k]);
    }
    constexpr unsigned fill = 4096;  // blocks that keep a large card busy
    const unsigned each = std::min(blocks_for(most, threads * 4), fill / static_cast<unsigned>(count));
    RT_LAUNCH((cast<A, B>), dim3(each, static_cast<unsigned>(count)), threads, 0, a.stream, all);
  }
}

}  // namespace

void relu_forward(const Args& a) { run<Relu>(a, nullptr); }
void relu_backward(const Args& a) { run<ReluBackward>(a, &a.in[1]); }
void add(const Args& a) { run<Sum>(a, &a.in[1]); }
void accumulate(const Args& a) { run<Sum>(a, &a.in[1]); }

void convert(const Args& a) {
  const Spec &from = a.in[0].spec, &to = a.out[0].spec;
  with_type(from.dtype, [&](auto zero_a) {
    using A = decltype(zero_a);
    with_type(to.dtype, [&](auto zero_b) {
      using B = decltype(zero_b);
      if (from.shape.rank() < 4 || from.layout == to.layout) {
        cast_all<A, B>(a);
        return;
      }
      const int channels = static_cast<int>(from.shape.c()), pixels = static_cast<int>(from.shape.h() * from.shape.w());
      const int rows = from.layout == Layout::nchw ? channels : pixels, columns = channels * pixels / rows;
      constexpr int64_t most = 65535;  // blocks along z
      const int64_t image = int64_t{channels} * pixels;
      for (int64_t first = 0; first < from.shape.n(); first += most) {
        const dim3 grid(static_cast<unsigned>(ceil_div(columns, tile)), static_cast<unsigned>(ceil_div(rows, tile)),
                        static_cast<unsigned>(std::min(most, from.shape.n() - first)));
        RT_LAUNCH((transpose<A, B>), grid, dim3(tile, tile_rows), 0, a.stream, rows, columns,
                  pointer<A>(a.in[0]) + first * image, pointer<B>(a.out[0]) + first * image);
      }
    });
  });
}

}  // namespace rt::cuda
