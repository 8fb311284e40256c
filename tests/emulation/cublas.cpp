// cuBLAS on the emulated device: the definition as loops, when the stream gets there.
#include "kernels/linear/cublas.hpp"

#include <vector>

#include "emulation/emulation.hpp"

namespace rt::cublas {
namespace {

Tensor widened(const void* data, DType dtype, int64_t count) {
  Tensor t({{count}, DType::f32});
  copy_convert({{{count}, dtype}, const_cast<void*>(data)}, t.view());
  return t;
}

}  // namespace

int version() { return 120000; }

void gemm(const Gemm& g, const void* a, const void* b, void* out, void* stream) {
  RT_CHECK(g.out == g.in || g.out == DType::f32, "emulated cuBLAS: {} to {}", name_of(g.in), name_of(g.out));
  emulation::enqueue(stream, [=] {
    const Tensor wide_a = widened(a, g.in, g.rows * g.terms), wide_b = widened(b, g.in, g.terms * g.columns);
    const Tensor result =
        g.beta == 0 ? Tensor({{g.rows * g.columns}, DType::f32}) : widened(out, g.out, g.rows * g.columns);
    const float *pa = wide_a.as<float>(), *pb = wide_b.as<float>();
    for (int64_t i = 0; i < g.rows; ++i)
      for (int64_t j = 0; j < g.columns; ++j) {
        double sum = 0;
        for (int64_t t = 0; t < g.terms; ++t)
          sum += static_cast<double>(g.transpose_a ? pa[t * g.rows + i] : pa[i * g.terms + t]) *
                 static_cast<double>(g.transpose_b ? pb[j * g.terms + t] : pb[t * g.columns + j]);
        float& y = result.as<float>()[i * g.columns + j];
        y = static_cast<float>(static_cast<double>(g.alpha) * sum + static_cast<double>(g.beta * y));
      }
    copy_convert(result.view(), {{{g.rows * g.columns}, g.out}, out});
  });
}

}  // namespace rt::cublas
