// The selection table: one line per implementation, best first within a kind, reference last. This is the only host
// file that names an instruction set or a compute capability.
#include "kernels/table.hpp"

#include "kernels/batch_norm.hpp"
#include "kernels/conv2d.hpp"
#include "kernels/conv2d_gemm.hpp"
#include "kernels/cross_entropy.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/linear.hpp"
#include "kernels/pool.hpp"
#include "kernels/update.hpp"

namespace rt {
namespace {

namespace ref = cpu::reference;

Row reference(std::string_view kind, void (*run)(const Args&), int overwrites = -1) {
  return {kind, "cpu.reference", Device::cpu, isa_scalar, nullptr, run, nullptr, overwrites};
}

// The rows on the register-tile matrix product, for one instruction set.
#define GEMM_ROW(kind, Rows, pass, refuse, isa, capability)                                    \
  Row {                                                                                        \
    kind, "cpu." #isa ".gemm", Device::cpu, capability, refuse, Rows<isa::gemm_kernels>::pass, \
        Rows<isa::gemm_kernels>::pass##_bytes                                                  \
  }
#define GEMM_ROWS(isa, capability)                                                                    \
  GEMM_ROW("conv2d.forward", cpu::Conv2dGemm, forward, cpu::refuse_conv2d_gemm, isa, capability),     \
      GEMM_ROW("conv2d.dx", cpu::Conv2dGemm, dx, cpu::refuse_conv2d_gemm, isa, capability),           \
      GEMM_ROW("conv2d.dw", cpu::Conv2dGemm, dw, cpu::refuse_conv2d_gemm, isa, capability),           \
      GEMM_ROW("linear.forward", cpu::LinearGemm, forward, cpu::refuse_linear_gemm, isa, capability), \
      GEMM_ROW("linear.dx", cpu::LinearGemm, dx, cpu::refuse_linear_gemm, isa, capability),           \
      GEMM_ROW("linear.dw", cpu::LinearGemm, dw, cpu::refuse_linear_gemm, isa, capability)

}  // namespace

std::span<const Row> kernel_table() {
  static const Row rows[] = {
#ifdef RT_HAVE_AVX512
      GEMM_ROWS(avx512, isa_avx512),
#endif
#ifdef RT_HAVE_AVX2
      GEMM_ROWS(avx2, isa_avx2),
#endif
      GEMM_ROWS(baseline, isa_scalar),
      reference("conv2d.forward", ref::conv2d_forward),
      reference("conv2d.dx", ref::conv2d_dx),
      reference("conv2d.dw", ref::conv2d_dw),

      reference("batch_norm.stats", ref::batch_norm_stats),
      reference("batch_norm.apply", ref::batch_norm_apply, 0),
      reference("batch_norm.update_running", ref::batch_norm_update_running),
      reference("batch_norm.running", ref::batch_norm_running),
      reference("batch_norm.sums", ref::batch_norm_sums),
      reference("batch_norm.dx", ref::batch_norm_dx, 0),
      reference("bn_relu.apply", ref::bn_relu_apply, 0),
      reference("bn_relu.sums", ref::bn_relu_sums),
      reference("bn_relu.dx", ref::bn_relu_dx, 0),
      reference("bn_add_relu.apply", ref::bn_add_relu_apply, 0),
      reference("bn_add_relu.dx", ref::bn_add_relu_dx, 2),

      reference("relu.forward", ref::relu_forward, 0),
      reference("relu.backward", ref::relu_backward, 0),
      reference("add.forward", ref::add, 0),
      reference("accumulate", ref::add, 0),
      reference("layout.convert", ref::layout_convert),

      reference("max_pool.forward", ref::max_pool_forward),
      reference("max_pool.backward", ref::max_pool_backward),
      reference("avg_pool.forward", ref::avg_pool_forward),
      reference("avg_pool.backward", ref::avg_pool_backward),

      reference("linear.forward", ref::linear_forward),
      reference("linear.dx", ref::linear_dx),
      reference("linear.dw", ref::linear_dw),
      reference("linear.dbias", ref::linear_dbias),

      reference("cross_entropy.forward", ref::cross_entropy_forward),
      reference("cross_entropy.backward", ref::cross_entropy_backward),

      {"grad_norm", "cpu", Device::cpu, isa_scalar, nullptr, cpu::grad_norm},
      {"sgd.update", "cpu", Device::cpu, isa_scalar, nullptr, cpu::sgd_update},
      {"commit", "cpu", Device::cpu, isa_scalar, nullptr, cpu::commit},
  };
  return rows;
}

std::span<const Rewrite> fusion_rules() {
  static const Rewrite rules[] = {
      {"bn_add_relu.forward",
       {"batch_norm.apply: x mean rstd gamma beta -> t", "add.forward: t skip -> u", "relu.forward: u -> y"},
       {"bn_add_relu.apply: x mean rstd gamma beta skip -> y"}},
      {"bn_relu.forward",
       {"batch_norm.apply: x mean rstd gamma beta -> t", "relu.forward: t -> y"},
       {"bn_relu.apply: x mean rstd gamma beta -> y"}},
      {"bn_relu.backward",
       {"relu.backward: dy y -> d", "batch_norm.sums: d x mean rstd -> dgamma dbeta",
        "batch_norm.dx: d x mean rstd gamma dgamma dbeta -> dx"},
       {"bn_relu.sums: dy y x mean rstd -> dgamma dbeta", "bn_relu.dx: dy y x mean rstd gamma dgamma dbeta -> dx"}},
      // The skip connection needs d as well, so it is still written, by the step that has it in a register anyway.
      {"bn_add_relu.backward",
       {"relu.backward: dy y -> d", "batch_norm.sums: d x mean rstd -> dgamma dbeta",
        "batch_norm.dx: d x mean rstd gamma dgamma dbeta -> dx"},
       {"bn_relu.sums: dy y x mean rstd -> dgamma dbeta",
        "bn_add_relu.dx: dy y x mean rstd gamma dgamma dbeta -> dx d"}},
  };
  return rules;
}

}  // namespace rt
