// The CPU's rows of convolutions, best first: for few pixels, by Winograd's algorithm, as matrix products.
#include "kernels/conv2d/conv2d_fusion.hpp"
#include "kernels/conv2d/conv2d_row.hpp"
#include "kernels/conv2d/direct/conv2d_few.hpp"
#include "kernels/conv2d/direct/conv2d_gemm.hpp"
#include "kernels/conv2d/winograd/conv2d_winograd.hpp"
#include "kernels/isa.hpp"
#include "kernels/rows.hpp"

namespace rt::cpu {
namespace {

// The three passes that an algorithm computes apart.
template <class Algorithm>
void add_passes(Rows& rows, const Row& row) {
  using R = ConvRow<Algorithm>;
  auto add = [&](const Kind& kind, RunFunction run, WorkspaceFunction bytes) {
    Row of_pass = row;
    of_pass.kind = kind;
    of_pass.run = run;
    of_pass.workspace = bytes;
    rows.add(std::move(of_pass));
  };
  add(kinds::conv2d_forward, R::forward, R::forward_bytes);
  add(kinds::conv2d_dx, R::dx, R::dx_bytes);
  add(kinds::conv2d_dw, R::dw, R::dw_bytes);
}

// The input whose memory out[0] may take: that which a gradient is added to, or which the other result of a batch
// norm's backward pass replaces.
std::string_view overwritten(const Kind& kind) {
  if (kind.input("other") >= 0) return "other";
  return kind.output("dskip") >= 0 ? "dy" : "";
}

}  // namespace

void add_conv2d_rows(Rows& rows) {
  for_each_isa([&]<class Isa>() {
    add_passes<Conv2dFew<Isa::gemm>>(
        rows, {.name = row_name<Isa>("few"), .min_capability = Isa::capability, .refuse = refuse_conv2d_few});
  });
  for (const Kind& kind :
       {kinds::conv2d_forward, kinds::conv2d_dx, kinds::conv2d_dw, kinds::conv2d_forward_stats,
        kinds::conv2d_forward_stats_on_load, kinds::conv2d_backward, kinds::conv2d_backward_add,
        kinds::conv2d_backward_add_sums, kinds::conv2d_backward_on_load_sums, kinds::conv2d_backward_of_bn_relu_add,
        kinds::conv2d_backward_of_bn_relu_add_sums, kinds::conv2d_backward_of_bn_add_relu_on_load_sums})
    for_each_isa([&]<class Isa>() {
      using W = Conv2dWinograd<Isa::winograd, Isa::gemm, Isa::batch_norm>;
      rows.add({.kind = kind,
                .name = row_name<Isa>("winograd"),
                .min_capability = Isa::capability,
                .refuse = winograd::refuse,
                .run = W::run,
                .workspace = W::bytes,
                .overwrites = overwritten(kind),
                .variants = W::variants,
                .algorithm = Algorithm::winograd});
    });
  for_each_isa_of_pairs([&]<class Isa>() {
    add_passes<Conv2dGemm<Isa::gemm>>(
        rows, {.name = row_name<Isa>(), .min_capability = Isa::capability, .refuse = refuse_conv2d_gemm_of_pairs});
  });
  for_each_isa([&]<class Isa>() {
    add_passes<Conv2dGemm<Isa::gemm>>(
        rows, {.name = row_name<Isa>(), .min_capability = Isa::capability, .refuse = refuse_conv2d_gemm});
  });
}

}  // namespace rt::cpu
