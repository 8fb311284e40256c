// Element-wise rows of vector kernels, for values of any layout, in pieces of 32 or 64 KiB.
#include <algorithm>

#include "kernels/elementwise/elementwise.hpp"
#include "kernels/isa.hpp"
#include "kernels/rows.hpp"
#include "kernels/simd/rows.hpp"

namespace rt::cpu {
namespace {

// f(first element, number of elements) in parallel; a piece begins on a cache line.
template <class F>
void each_piece(int64_t n, F&& f) {
  constexpr int64_t piece = 1 << 14;
#pragma omp parallel for schedule(static) if (n >= min_parallel)
  for (int64_t begin = 0; begin < n; begin += piece) f(begin, std::min(piece, n - begin));
}

template <const ElementwiseKernels& kernels>
void relu_forward(const Args& a) {
  with_storage(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    const T* x = a.in[0].as<T>();
    T* y = a.out[0].as<T>();
    const bool stream = streams(a, 0);
    each_piece(a.in[0].numel(), [&](int64_t at, int64_t n) { kernels_of<T>(kernels).relu(x + at, y + at, n, stream); });
  });
}

template <const ElementwiseKernels& kernels>
void relu_backward(const Args& a) {
  with_storage(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    const T *dy = a.in[0].as<T>(), *y = a.in[1].as<T>();
    T* dx = a.out[0].as<T>();
    const bool stream = streams(a, 0);
    each_piece(a.in[0].numel(), [&](int64_t at, int64_t n) {
      kernels_of<T>(kernels).relu_backward(dy + at, y + at, dx + at, n, stream);
    });
  });
}

template <const ElementwiseKernels& kernels>
void add(const Args& a) {
  const bool stream = streams(a, 0);
  auto sum = [&]<class T, class B>(T* y, const T* p, const B* q, auto kernel) {
    each_piece(a.in[0].numel(), [&](int64_t at, int64_t n) { kernel(p + at, q + at, y + at, n, stream); });
  };
  if (a.in[0].spec.dtype == DType::f32 && a.in[1].spec.dtype == DType::bf16)  // gradients of weights that accumulate
    return sum(a.out[0].as<float>(), a.in[0].as<float>(), a.in[1].as<bf16>(), kernels.add_bf16);
  with_storage(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    sum(a.out[0].as<T>(), a.in[0].as<T>(), a.in[1].as<T>(), kernels_of<T>(kernels).add);
  });
}

}  // namespace

void add_elementwise_rows(Rows& rows) {
  for_each_isa([&]<class Isa>() {
    auto add_row = [&](const Kind& kind, RunFunction run, std::string_view overwrites) {
      rows.add({.kind = kind,
                .name = row_name<Isa>(),
                .min_capability = Isa::capability,
                .refuse = refuse_all_but_f32_bf16,
                .run = run,
                .overwrites = overwrites});
    };
    add_row(kinds::relu_forward, relu_forward<Isa::elementwise>, "x");
    add_row(kinds::relu_backward, relu_backward<Isa::elementwise>, "dy");
    add_row(kinds::add_forward, add<Isa::elementwise>, "a");
    add_row(kinds::accumulate, add<Isa::elementwise>, "a");
  });
}

}  // namespace rt::cpu
