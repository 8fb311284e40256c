// The classifier as a 1x1 convolution of 1x1 images, in f32: bf16 is widened (widened.hpp).
#include "kernels/conv2d/conv2d_row.hpp"
#include "kernels/conv2d/direct/conv2d_gemm.hpp"
#include "kernels/isa.hpp"
#include "kernels/linear/linear.hpp"
#include "kernels/linear/widened.hpp"
#include "kernels/rows.hpp"

namespace rt::cpu {
namespace {

Conv2dShape linear_shape(const Spec& x, const Spec& w) {
  return {.n = x.shape[0],
          .c = x.shape[1],
          .h = 1,
          .w = 1,
          .k = w.shape[0],
          .r = 1,
          .s = 1,
          .p = 1,
          .q = 1,
          .stride = 1,
          .pad = 0};
}

template <const GemmKernels& kernels>
struct LinearGemm : GemmPasses<kernels> {
  static Conv2dShape shape(const Problem& p) {
    const Spec *x = p.find_input("x"), *w = p.find_input("w");
    return linear_shape(x ? *x : p.output("dx"), w ? *w : p.output("dw"));
  }
  static Conv2dShape shape(const Args& a) {
    const View *x = a.find_input("x"), *w = a.find_input("w");
    return linear_shape((x ? *x : a.output("dx")).spec, (w ? *w : a.output("dw")).spec);
  }
};

template <const GemmKernels& kernels>
void forward(const Args& a) {  // of f32
  ConvRow<LinearGemm<kernels>>::forward(a);
  float* y = a.output("y").as<float>();
  const float* bias = a.input("bias").as<float>();
  const Shape& shape = a.output("y").spec.shape;
  for (int64_t n = 0; n < shape[0]; ++n)
    for (int64_t k = 0; k < shape[1]; ++k) *y++ += bias[k];
}

}  // namespace

void add_linear_rows(Rows& rows) {
  for_each_isa([&]<class Isa>() {
    using R = ConvRow<LinearGemm<Isa::gemm>>;
    auto add = [&]<class W>(const Kind& kind, W) {
      rows.add({.kind = kind,
                .name = row_name<Isa>(),
                .min_capability = Isa::capability,
                .refuse = refuse_all_but_f32_bf16,
                .run = W::run,
                .workspace = W::bytes});
    };
    add(kinds::linear_forward, Widened<forward<Isa::gemm>, R::forward_bytes>{});
    add(kinds::linear_dx, Widened<R::dx, R::dx_bytes>{});
    add(kinds::linear_dw, Widened<R::dw, R::dw_bytes>{});
  });
}

}  // namespace rt::cpu
