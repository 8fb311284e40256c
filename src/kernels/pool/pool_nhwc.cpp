// Pooling of NHWC values, in parallel over images and rows of pixels.
#include "kernels/isa.hpp"
#include "kernels/pool/pool.hpp"
#include "kernels/rows.hpp"
#include "kernels/simd/rows.hpp"

namespace rt::cpu {
namespace {

PoolWindow window(Ops ops, const Shape& x, const Shape& y) {
  const MaxPoolAttrs& m = max_pool_attrs(ops);
  return {.kernel = m.kernel,
          .stride = m.stride,
          .pad = m.pad,
          .h = x.h(),
          .w = x.w(),
          .p = y.h(),
          .q = y.w(),
          .channels = x.c()};
}

template <class T>
void max_forward(const PoolKernelsOf<T>& kernels, const Args& a) {
  const PoolWindow m = window(a.ops, a.in[0].shape(), a.out[0].shape());
  const int64_t images = a.in[0].shape().n(), in_image = m.h * m.w * m.channels, out_row = m.q * m.channels;
  const T* x = a.in[0].as<T>();
  T* y = a.out[0].as<T>();
  uint8_t* index = a.out[1].as<uint8_t>();
#pragma omp parallel for schedule(static) if (images * in_image >= min_parallel)
  for (int64_t row = 0; row < images * m.p; ++row)
    kernels.max_forward(m, x + row / m.p * in_image, row % m.p, y + row * out_row, index + row * out_row);
}

template <class T>
void max_backward(const PoolKernelsOf<T>& kernels, const Args& a) {
  const PoolWindow m = window(a.ops, a.out[0].shape(), a.in[0].shape());
  const int64_t images = a.in[0].shape().n(), out_image = m.p * m.q * m.channels, in_row = m.w * m.channels;
  const T* dy = a.in[0].as<T>();
  const uint8_t* index = a.in[1].as<uint8_t>();
  T* dx = a.out[0].as<T>();
  const bool stream = streams(a, 0);
#pragma omp parallel for schedule(static) if (images * m.h * in_row >= min_parallel)
  for (int64_t row = 0; row < images * m.h; ++row) {
    const int64_t image = row / m.h * out_image;
    kernels.max_backward(m, dy + image, index + image, row % m.h, dx + row * in_row, stream);
  }
}

template <class T>
void avg_forward(const PoolKernelsOf<T>& kernels, const Args& a) {
  const Shape& s = a.in[0].shape();
  const int64_t pixels = s.h() * s.w(), channels = s.c();
  const T* x = a.in[0].as<T>();
  T* y = a.out[0].as<T>();
#pragma omp parallel for schedule(static) if (s.numel() >= min_parallel)
  for (int64_t n = 0; n < s.n(); ++n)
    kernels.mean_forward(x + n * pixels * channels, pixels, channels, y + n * channels);
}

template <class T>
void avg_backward(const PoolKernelsOf<T>& kernels, const Args& a) {
  const Shape& s = a.out[0].shape();
  const int64_t pixels = s.h() * s.w(), channels = s.c();
  const T* dy = a.in[0].as<T>();
  T* dx = a.out[0].as<T>();
#pragma omp parallel for schedule(static) if (s.numel() >= min_parallel)
  for (int64_t n = 0; n < s.n(); ++n)
    kernels.mean_backward(dy + n * channels, pixels, channels, dx + n * pixels * channels);
}

// The rows of one instruction set's kernels.
template <const PoolKernels& kernels>
struct Run {
  static void max_forward(const Args& a) {
    with_storage(a.in[0], [&](auto zero) { cpu::max_forward(kernels_of<decltype(zero)>(kernels), a); });
  }
  static void max_backward(const Args& a) {
    with_storage(a.in[0], [&](auto zero) { cpu::max_backward(kernels_of<decltype(zero)>(kernels), a); });
  }
  static void avg_forward(const Args& a) {
    with_storage(a.in[0], [&](auto zero) { cpu::avg_forward(kernels_of<decltype(zero)>(kernels), a); });
  }
  static void avg_backward(const Args& a) {
    with_storage(a.in[0], [&](auto zero) { cpu::avg_backward(kernels_of<decltype(zero)>(kernels), a); });
  }
};

}  // namespace

void add_pool_rows(Rows& rows) {
  for_each_isa([&]<class Isa>() {
    using R = Run<Isa::pool>;
    auto add = [&](const Kind& kind, RunFunction run) {
      rows.add({.kind = kind,
                .name = row_name<Isa>(),
                .min_capability = Isa::capability,
                .refuse = refuse_all_but_f32_bf16_nhwc,
                .run = run});
    };
    add(kinds::max_pool_forward, R::max_forward);
    add(kinds::max_pool_backward, R::max_backward);
    add(kinds::avg_pool_forward, R::avg_forward);
    add(kinds::avg_pool_backward, R::avg_backward);
  });
}

}  // namespace rt::cpu
