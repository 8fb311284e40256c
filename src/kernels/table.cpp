// The selection table: one line per implementation, best first within a kind and device, reference last. No other kernel
// chooses by instruction set or compute capability (peak.cpp, which measures the machine and computes nothing, does, and
// Winograd's rows ask whether those of bf16 pairs are there before they refuse). This file is compiled once for each device
// library (CMakeLists.txt): CUDA rows have code behind them where RT_CUDA is set.
#include "kernels/table.hpp"

#include <sstream>

#include "kernels/augment/augment.hpp"
#include "kernels/batch_norm/batch_norm.hpp"
#include "kernels/conv2d/conv2d.hpp"
#include "kernels/conv2d/direct/conv2d_few.hpp"
#include "kernels/conv2d/direct/conv2d_gemm.hpp"
#include "kernels/conv2d/winograd/conv2d_winograd.hpp"
#include "kernels/cross_entropy/cross_entropy.hpp"
#include "kernels/cuda/via_cpu.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "kernels/linear/linear.hpp"
#include "kernels/linear/widened.hpp"
#include "kernels/pool/pool.hpp"
#include "kernels/simd/nhwc_rows.hpp"
#include "kernels/update/report.hpp"
#include "kernels/update/update.hpp"

namespace rt {
namespace {

namespace ref = cpu::reference;

Row reference(std::string_view kind, void (*run)(const Args&), int overwrites = -1) {
  return {kind, "cpu.reference", Device::cpu, isa_scalar, nullptr, run, nullptr, overwrites};
}

// Of a fused step, for tests and the self-test alone: where no other row fits, the sequence that it stands for is run.
Row fused_reference(std::string_view kind, void (*run)(const Args&)) {
  Row row = reference(kind, run);
  row.last_resort = true;
  return row;
}

// The vector rows of a kind, one per instruction set. A matrix-product row's workspace depends on the instruction set's
// tile.
#define VECTOR_ROW(isa, capability, kind, refuse, Rows, kernels, step, ...) \
  { kind, "cpu." #isa, Device::cpu, capability, refuse, Rows<isa::kernels>::step __VA_OPT__(, ) __VA_ARGS__ }
#define GEMM_ROW(isa, capability, kind, refuse, Rows, pass)                            \
  {                                                                                    \
    kind, "cpu." #isa, Device::cpu, capability, refuse, Rows<isa::gemm_kernels>::pass, \
        Rows<isa::gemm_kernels>::pass##_bytes                                          \
  }
#define WIDENED_ROW(isa, capability, kind, refuse, Rows, pass)                                    \
  {                                                                                               \
    kind, "cpu." #isa, Device::cpu, capability, refuse,                                           \
        cpu::Widened<Rows<isa::gemm_kernels>::pass, Rows<isa::gemm_kernels>::pass##_bytes>::run,  \
        cpu::Widened<Rows<isa::gemm_kernels>::pass, Rows<isa::gemm_kernels>::pass##_bytes>::bytes \
  }
#ifdef RT_HAVE_AVX512
#define PER_ISA(ROW, ...) \
  ROW(avx512, isa_avx512, __VA_ARGS__), ROW(avx2, isa_avx2, __VA_ARGS__), ROW(baseline, isa_scalar, __VA_ARGS__)
#else
#define PER_ISA(ROW, ...) ROW(baseline, isa_scalar, __VA_ARGS__)
#endif
#ifdef RT_HAVE_AMX
#define OF_PAIRS_ROW(isa, pass) \
  GEMM_ROW(isa, isa_##isa, "conv2d." #pass, cpu::refuse_conv2d_gemm_of_pairs, cpu::Conv2dGemm, pass)
#define CONV2D_OF_PAIRS(pass) OF_PAIRS_ROW(amx, pass), OF_PAIRS_ROW(avx512_bf16, pass),
#else
#define CONV2D_OF_PAIRS(pass)
#endif
#define CONV2D(pass)    \
  CONV2D_OF_PAIRS(pass) \
  PER_ISA(GEMM_ROW, "conv2d." #pass, cpu::refuse_conv2d_gemm, cpu::Conv2dGemm, pass)
#define FEW_PIXELS_ROW(isa, capability, pass)                                                    \
  {                                                                                              \
    "conv2d." #pass, "cpu." #isa ".few", Device::cpu, capability, cpu::refuse_few_##pass,        \
        cpu::Conv2dFew<isa::gemm_kernels>::pass, cpu::Conv2dFew<isa::gemm_kernels>::pass##_bytes \
  }
#define FEW_PIXELS(pass) PER_ISA(FEW_PIXELS_ROW, pass)
#define WINOGRAD_ROW(isa, capability, kind, overwrites)                                     \
  {                                                                                         \
    kind, "cpu." #isa ".winograd", Device::cpu, capability, WINOGRAD_OF(isa, kind)::refuse, \
        WINOGRAD_OF(isa, kind)::run, WINOGRAD_OF(isa, kind)::bytes, overwrites, false,      \
        WINOGRAD_OF(isa, kind)::variants                                                    \
  }
#define WINOGRAD_OF(isa, kind) \
  cpu::Conv2dWinograd<isa::winograd_kernels, isa::gemm_kernels, isa::batch_norm_kernels, conv2d_fusion(kind)>
#define WINOGRAD(kind, overwrites) PER_ISA(WINOGRAD_ROW, kind, overwrites)
#define LINEAR(pass) PER_ISA(WIDENED_ROW, "linear." #pass, cpu::refuse_all_but_f32_bf16, cpu::LinearGemm, pass)
#define BATCH_NORM(kind, step, overwrites)                                                                   \
  PER_ISA(VECTOR_ROW, kind, cpu::refuse_all_but_f32_bf16_nhwc, cpu::BatchNormRows, batch_norm_kernels, step, \
          cpu::batch_norm_workspace, overwrites)
#define ELEMENTWISE(kind, step) \
  PER_ISA(VECTOR_ROW, kind, cpu::refuse_all_but_f32_bf16, cpu::ElementwiseRows, elementwise_kernels, step, nullptr, 0)
#define POOL(kind, step) PER_ISA(VECTOR_ROW, kind, cpu::refuse_all_but_f32_bf16_nhwc, cpu::PoolRows, pool_kernels, step)

// CUDA rows, followed by the one that goes through the CPU. In a build without CUDA they have no code behind them.
#ifdef RT_CUDA
#define IN_CUDA(...) __VA_ARGS__
#else
#define IN_CUDA(...) nullptr
#endif
constexpr int first_cuda = 61;
template <void (*run)(const Args&), size_t (*workspace)(const Problem&) = nullptr>
constexpr Row via_cpu(std::string_view kind) {
  return {kind, "cuda.via_cpu", Device::cuda, 0, nullptr, cuda::via_cpu<run, workspace>, nullptr, -1, true};
}
// Our own kernels take any type and layout, and but for pooling any size.
#define CUDA(kind, run, workspace, overwrites, ...) CUDA_WHERE(kind, nullptr, run, workspace, overwrites, __VA_ARGS__)
#define CUDA_WHERE(kind, refuse, run, workspace, overwrites, ...)                                                   \
  Row{kind, "cuda", Device::cuda, first_cuda, IN_CUDA(refuse), IN_CUDA(cuda::run), IN_CUDA(workspace), overwrites}, \
      via_cpu<__VA_ARGS__>(kind)
#define CUDNN_ROW(pass, name, capability, graph)                                                               \
  Row {                                                                                                        \
    "conv2d." #pass, name, Device::cuda, capability, IN_CUDA(cuda::CudnnRow<Conv2dPass::pass, graph>::refuse), \
        IN_CUDA(cuda::CudnnRow<Conv2dPass::pass, graph>::run),                                                 \
        IN_CUDA(cuda::CudnnRow<Conv2dPass::pass, graph>::workspace)                                            \
  }
#define CUDNN(pass)                                                                                \
  CUDNN_ROW(pass, "cuda.cudnn_graph", 90, true), CUDNN_ROW(pass, "cuda.cudnn", first_cuda, false), \
      via_cpu<ref::conv2d_##pass>("conv2d." #pass)
#define CUBLAS(pass, workspace)                                                                          \
  Row{"linear." #pass,   "cuda.cublas", Device::cuda, first_cuda, nullptr, IN_CUDA(cuda::linear_##pass), \
      IN_CUDA(workspace)},                                                                               \
      via_cpu<ref::linear_##pass>("linear." #pass)

}  // namespace

std::span<const Row> kernel_table() {
  static const Row rows[] = {
      reference("augment", ref::augment),
      CUDA("augment", augment, nullptr, -1, ref::augment),

      FEW_PIXELS(forward),
      WINOGRAD("conv2d.forward", -1),
      CONV2D(forward),
      reference("conv2d.forward", ref::conv2d_forward),
      CUDNN(forward),
      FEW_PIXELS(dx),
      WINOGRAD("conv2d.dx", -1),
      CONV2D(dx),
      reference("conv2d.dx", ref::conv2d_dx),
      CUDNN(dx),
      FEW_PIXELS(dw),
      WINOGRAD("conv2d.dw", -1),
      CONV2D(dw),
      reference("conv2d.dw", ref::conv2d_dw),
      CUDNN(dw),

      WINOGRAD("conv2d.forward.stats", -1),
      {"conv2d.forward.stats", "cuda.cudnn_graph", Device::cuda, 90, IN_CUDA(cuda::refuse_conv2d_forward_stats),
       IN_CUDA(cuda::conv2d_forward_stats), IN_CUDA(cuda::conv2d_forward_stats_workspace)},
      fused_reference("conv2d.forward.stats", ref::conv2d_forward_stats),
      WINOGRAD("conv2d.forward.stats.on_load", -1),
      WINOGRAD("conv2d.backward", -1),
      WINOGRAD("conv2d.backward.add", 3),
      WINOGRAD("conv2d.backward.add.sums", 3),
      WINOGRAD("conv2d.backward.on_load.sums", -1),
      WINOGRAD("conv2d.backward.of_bn_relu.add", 10),
      WINOGRAD("conv2d.backward.of_bn_relu.add.sums", 10),
      WINOGRAD("conv2d.backward.of_bn_add_relu.on_load.sums", 0),

      BATCH_NORM("batch_norm.stats", stats, -1),
      reference("batch_norm.stats", ref::batch_norm_stats),
      CUDA("batch_norm.stats", batch_norm_stats, cuda::batch_norm_workspace, -1, ref::batch_norm_stats),
      BATCH_NORM("batch_norm.apply", apply, 0),
      reference("batch_norm.apply", ref::batch_norm_apply, 0),
      CUDA("batch_norm.apply", batch_norm_apply, nullptr, 0, ref::batch_norm_apply),
      reference("batch_norm.update_running", ref::batch_norm_update_running),
      CUDA("batch_norm.update_running", batch_norm_update_running, nullptr, -1, ref::batch_norm_update_running),
      fused_reference("batch_norm.update_running.all", ref::batch_norm_update_running),
      CUDA("batch_norm.update_running.all", batch_norm_update_running, nullptr, -1, ref::batch_norm_update_running),
      reference("batch_norm.running", ref::batch_norm_running),
      CUDA("batch_norm.running", batch_norm_running, nullptr, -1, ref::batch_norm_running),
      BATCH_NORM("batch_norm.sums", sums, -1),
      reference("batch_norm.sums", ref::batch_norm_sums),
      CUDA("batch_norm.sums", batch_norm_sums, cuda::batch_norm_workspace, -1, ref::batch_norm_sums),
      BATCH_NORM("batch_norm.dx", dx, 0),
      reference("batch_norm.dx", ref::batch_norm_dx, 0),
      CUDA("batch_norm.dx", batch_norm_dx, nullptr, 0, ref::batch_norm_dx),
      BATCH_NORM("bn_relu.apply", relu_apply, 0),
      reference("bn_relu.apply", ref::bn_relu_apply, 0),
      CUDA("bn_relu.apply", bn_relu_apply, nullptr, 0, ref::bn_relu_apply),
      BATCH_NORM("bn_relu.sums", sums, -1),
      reference("bn_relu.sums", ref::bn_relu_sums),
      CUDA("bn_relu.sums", bn_relu_sums, cuda::batch_norm_workspace, -1, ref::bn_relu_sums),
      BATCH_NORM("bn_relu.dx", dx, 0),
      reference("bn_relu.dx", ref::bn_relu_dx, 0),
      CUDA("bn_relu.dx", bn_relu_dx, nullptr, 0, ref::bn_relu_dx),
      BATCH_NORM("bn_relu.dx_by_x", dx_by_x, 0),
      BATCH_NORM("bn_add_relu.apply", relu_apply, 0),
      reference("bn_add_relu.apply", ref::bn_add_relu_apply, 0),
      CUDA("bn_add_relu.apply", bn_add_relu_apply, nullptr, 0, ref::bn_add_relu_apply),
      BATCH_NORM("bn_add_relu.dx", dx, 2),
      reference("bn_add_relu.dx", ref::bn_add_relu_dx, 2),
      CUDA("bn_add_relu.dx", bn_add_relu_dx, nullptr, 2, ref::bn_add_relu_dx),

      ELEMENTWISE("relu.forward", relu_forward),
      reference("relu.forward", ref::relu_forward, 0),
      CUDA("relu.forward", relu_forward, nullptr, 0, ref::relu_forward),
      ELEMENTWISE("relu.backward", relu_backward),
      reference("relu.backward", ref::relu_backward, 0),
      CUDA("relu.backward", relu_backward, nullptr, 0, ref::relu_backward),
      ELEMENTWISE("add.forward", add),
      reference("add.forward", ref::add, 0),
      CUDA("add.forward", add, nullptr, 0, ref::add),
      ELEMENTWISE("accumulate", add),
      reference("accumulate", ref::add, 0),
      CUDA("accumulate", accumulate, nullptr, 0, ref::add),
      reference("convert", ref::convert),
      CUDA("convert", convert, nullptr, -1, ref::convert),
      fused_reference("convert.all", ref::convert),
      CUDA("convert.all", convert, nullptr, -1, ref::convert),

      POOL("max_pool.forward", max_forward),
      reference("max_pool.forward", ref::max_pool_forward),
      CUDA_WHERE("max_pool.forward", cuda::refuse_pool, max_pool_forward, nullptr, -1, ref::max_pool_forward),
      POOL("max_pool.backward", max_backward),
      reference("max_pool.backward", ref::max_pool_backward),
      CUDA_WHERE("max_pool.backward", cuda::refuse_pool, max_pool_backward, nullptr, -1, ref::max_pool_backward),
      POOL("avg_pool.forward", avg_forward),
      reference("avg_pool.forward", ref::avg_pool_forward),
      CUDA_WHERE("avg_pool.forward", cuda::refuse_pool, avg_pool_forward, nullptr, -1, ref::avg_pool_forward),
      POOL("avg_pool.backward", avg_backward),
      reference("avg_pool.backward", ref::avg_pool_backward),
      CUDA_WHERE("avg_pool.backward", cuda::refuse_pool, avg_pool_backward, nullptr, -1, ref::avg_pool_backward),

      LINEAR(forward),
      reference("linear.forward", ref::linear_forward),
      CUBLAS(forward, cuda::linear_forward_workspace),
      LINEAR(dx),
      reference("linear.dx", ref::linear_dx),
      CUBLAS(dx, nullptr),
      LINEAR(dw),
      reference("linear.dw", ref::linear_dw),
      CUBLAS(dw, nullptr),
      reference("linear.dbias", ref::linear_dbias),
      CUDA("linear.dbias", linear_dbias, nullptr, -1, ref::linear_dbias),

      reference("cross_entropy.forward", ref::cross_entropy_forward),
      CUDA("cross_entropy.forward", cross_entropy_forward, cuda::cross_entropy_workspace, -1,
           ref::cross_entropy_forward),
      reference("cross_entropy.backward", ref::cross_entropy_backward),
      CUDA("cross_entropy.backward", cross_entropy_backward, nullptr, -1, ref::cross_entropy_backward),
      reference("cross_entropy.with_gradient", ref::cross_entropy_with_gradient),
      CUDA("cross_entropy.with_gradient", cross_entropy_with_gradient, cuda::cross_entropy_workspace, -1,
           ref::cross_entropy_with_gradient),

      {"grad_norm", "cpu", Device::cpu, isa_scalar, nullptr, cpu::grad_norm, cpu::grad_norm_workspace},
      CUDA("grad_norm", grad_norm, cuda::grad_norm_workspace, -1, cpu::grad_norm, cpu::grad_norm_workspace),
      reference("sgd.gradient", ref::sgd_gradient),
      CUDA("sgd.gradient", sgd_gradient, nullptr, -1, ref::sgd_gradient),
      reference("sgd.momentum", ref::sgd_momentum),
      CUDA("sgd.momentum", sgd_momentum, nullptr, -1, ref::sgd_momentum),
      reference("sgd.apply", ref::sgd_apply),
      CUDA("sgd.apply", sgd_apply, nullptr, -1, ref::sgd_apply),
      reference("sgd.round", ref::sgd_round),
      CUDA("sgd.round", sgd_round, nullptr, -1, ref::sgd_round),
      {"sgd.update", "cpu", Device::cpu, isa_scalar, nullptr, cpu::sgd_update},
      CUDA("sgd.update", sgd_update, nullptr, -1, cpu::sgd_update),
      {"commit", "cpu", Device::cpu, isa_scalar, nullptr, cpu::commit},
      CUDA("commit", commit, nullptr, -1, cpu::commit),
      reference("control.update", ref::control_update),
      CUDA("control.update", control_update, nullptr, -1, ref::control_update),
      reference("loss_scale", ref::loss_scale),
      CUDA("loss_scale", loss_scale, nullptr, -1, ref::loss_scale),
      reference("report", ref::report),
      CUDA("report", report, nullptr, -1, ref::report),
  };
  return rows;
}

ComputeDefaults compute_defaults(const Target& target) {
  if (target.device == Device::cpu)
    return {
        Layout::nhwc, DType::f32, "NHWC is what the CPU kernels prefer",
        target.capability >= isa_amx
            ? "what the CPU kernels compute in; bf16 takes less memory and, on this CPU and in large batches, less time"
            : "what the CPU kernels compute in; bf16 stores activations in half the memory"};
  const std::string sm = rt::format("{}.{}", target.capability / 10, target.capability % 10);
  if (target.capability < 70)
    return {Layout::nchw, DType::f32, "compute capability " + sm + " has no tensor cores, for which NHWC is",
            "compute capability " + sm + " computes in f16 at a 64th of the rate of f32"};
  const bool bf16 = target.capability >= 80;
  return {Layout::nhwc, bf16 ? DType::bf16 : DType::f16, "the order of tensor cores",
          rt::format("tensor cores of compute capability {} take {}", sm, bf16 ? "it, with the range of f32" : "f16")};
}

namespace {

bool same_momentum(const Problem& a, const Problem& b) {
  return batch_norm_attrs(a.op).momentum == batch_norm_attrs(b.op).momentum;
}
bool same_cast(const Problem& a, const Problem& b) {
  auto keeps_order = [](const Problem& p) { return p.in[0].shape.rank() < 4 || p.in[0].layout == p.out[0].layout; };
  return a.in[0].dtype == b.in[0].dtype && a.out[0].dtype == b.out[0].dtype && keeps_order(a) && keeps_order(b);
}

}  // namespace

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
      {"cross_entropy",
       {"cross_entropy.forward: logits labels -> loss lse correct",
        "cross_entropy.backward: logits labels lse dloss -> dlogits"},
       {"cross_entropy.with_gradient: logits labels dloss -> loss correct dlogits"}},
      {"sgd",
       {"sgd.gradient: weights grads norm -> g", "sgd.momentum: momentum g norm -> momentum",
        "sgd.apply: weights g momentum lr norm -> weights"},
       {"sgd.update: weights grads momentum lr norm -> weights momentum"}},
      {"sgd.round",
       {"sgd.update: weights grads momentum lr norm -> weights momentum", "sgd.round: weights -> compute"},
       {"sgd.update: weights grads momentum lr norm -> weights momentum compute"}},
      // Convolutions that do their neighbours' work, where an implementation can (kernels/conv2d/conv2d_fusion.hpp).
      {"conv2d.backward", {"conv2d.dw: dy x -> dw", "conv2d.dx: dy w -> dx"}, {"conv2d.backward: dy x w -> dx dw"}},
      {"conv2d.stats",
       {"conv2d.forward: x w -> y", "batch_norm.stats: y -> mean rstd var"},
       {"conv2d.forward.stats: x w -> y mean rstd var"}},
      {"conv2d.on_load",
       {"bn_relu.apply: x mean rstd gamma beta -> z", "conv2d.forward.stats: z w -> y mean2 rstd2 var2",
        "conv2d.backward: dy z w -> dz dw", "bn_relu.sums: dz z x mean rstd -> dgamma dbeta",
        "bn_relu.dx: dz z x mean rstd gamma dgamma dbeta -> dx"},
       {"", "conv2d.forward.stats.on_load: x mean rstd gamma beta w -> y mean2 rstd2 var2",
        "conv2d.backward.on_load.sums: dy x mean rstd gamma beta w -> dz dw dgamma dbeta", "",
        "bn_relu.dx_by_x: dz x mean rstd gamma beta dgamma dbeta -> dx"}},
      {"conv2d.add_sums",
       {"conv2d.backward: dy x w -> dx dw", "accumulate: dx other -> sum",
        "bn_relu.sums: sum x t mean rstd -> dgamma dbeta"},
       {"conv2d.backward.add.sums: dy x w other t mean rstd -> sum dw dgamma dbeta"}},
      {"conv2d.add",
       {"conv2d.backward: dy x w -> dx dw", "accumulate: dx other -> sum"},
       {"conv2d.backward.add: dy x w other -> sum dw"}},
      {"conv2d.of_bn_relu.sums",
       {"bn_relu.dx_by_x: dt t mean rstd gamma beta dgamma dbeta -> dy",
        "conv2d.backward.add.sums: dy x w other t2 mean2 rstd2 -> dx dw dgamma2 dbeta2"},
       {"",
        "conv2d.backward.of_bn_relu.add.sums: dt t mean rstd gamma beta dgamma dbeta x w other t2 mean2 rstd2 -> "
        "dx dw dgamma2 dbeta2"}},
      {"conv2d.of_bn_relu",
       {"bn_relu.dx_by_x: dt t mean rstd gamma beta dgamma dbeta -> dy", "conv2d.backward.add: dy x w other -> dx dw"},
       {"", "conv2d.backward.of_bn_relu.add: dt t mean rstd gamma beta dgamma dbeta x w other -> dx dw"}},
      {"conv2d.of_bn_add_relu",
       {"bn_add_relu.dx: dz z t mean rstd gamma dgamma dbeta -> dy d",
        "conv2d.backward.on_load.sums: dy x mean2 rstd2 gamma2 beta2 w -> dx dw dgamma2 dbeta2"},
       {"",
        "conv2d.backward.of_bn_add_relu.on_load.sums: dz z t mean rstd gamma dgamma dbeta x mean2 rstd2 gamma2 beta2 w -> "
        "d dx dw dgamma2 dbeta2"}},
      // On a GPU a small kernel takes as long as its launch.
      {"batch_norm.update_running.all",
       {"batch_norm.update_running"},
       {"batch_norm.update_running.all"},
       same_momentum},
      {"convert.all", {"convert"}, {"convert.all"}, same_cast},
  };
  return rules;
}

std::vector<Rewrite> fusion_rules_without(std::string_view names) {
  std::vector<Rewrite> rules(fusion_rules().begin(), fusion_rules().end());
  std::istringstream words{std::string(names)};
  for (std::string name; words >> name;) {
    if (std::erase_if(rules, [&](const Rewrite& rule) { return rule.name == name; })) continue;
    std::string known;
    for (const Rewrite& rule : fusion_rules()) known += (known.empty() ? "" : ", ") + std::string(rule.name);
    fail(ExitCode::usage, "optimize.unfused: there is no rule of fusion named {}; there are {}", name, known);
  }
  return rules;
}

std::span<const std::string_view> cheap_steps() {
  static constexpr std::string_view kinds[] = {"batch_norm.apply", "bn_relu.apply", "bn_add_relu.apply", "add.forward",
                                               "relu.forward"};
  return kinds;
}

}  // namespace rt
