// Instruction sets as types: what each one's build of the vector kernels (*_simd.cpp) defines. A row that exists once
// per instruction set is a template over one of these types, and for_each_isa makes its rows, best first:
//   for_each_isa([&]<class Isa>() {
//     rows.add({.kind = kind, .name = row_name<Isa>(), .run = relu<Isa::elementwise>, ...});
//   });
// A new instruction set: an entry in cmake/Isa.cmake and in core/device.hpp, its vector in simd/simd.hpp, a type here.
#pragma once
#include <string>

#include "core/device.hpp"
#include "kernels/batch_norm/batch_norm_simd.hpp"
#include "kernels/conv2d/winograd/winograd_simd.hpp"
#include "kernels/elementwise/elementwise_simd.hpp"
#include "kernels/gemm/gemm_simd.hpp"
#include "kernels/pool/pool_simd.hpp"
#include "kernels/simd/peak_simd.hpp"

namespace rt {

namespace baseline {
extern const GemmKernels gemm_kernels;
extern const WinogradSet winograd_kernels;
extern const BatchNormKernels batch_norm_kernels;
extern const ElementwiseKernels elementwise_kernels;
extern const PoolKernels pool_kernels;
extern const PeakKernels peak_kernels;
}  // namespace baseline
#ifdef RT_HAVE_AVX2
namespace avx2 {
extern const GemmKernels gemm_kernels;
extern const WinogradSet winograd_kernels;
extern const BatchNormKernels batch_norm_kernels;
extern const ElementwiseKernels elementwise_kernels;
extern const PoolKernels pool_kernels;
extern const PeakKernels peak_kernels;
}  // namespace avx2
#endif
#ifdef RT_HAVE_AVX512
namespace avx512 {
extern const GemmKernels gemm_kernels;
extern const WinogradSet winograd_kernels;
extern const BatchNormKernels batch_norm_kernels;
extern const ElementwiseKernels elementwise_kernels;
extern const PoolKernels pool_kernels;
extern const PeakKernels peak_kernels;
}  // namespace avx512
#endif
#ifdef RT_HAVE_AVX512_BF16
namespace avx512_bf16 {
extern const GemmKernelsOf<Bf16Pair> gemm_kernels;
}
#endif
#ifdef RT_HAVE_AMX
namespace amx {
extern const GemmKernelsOf<Bf16Pair> gemm_kernels;
}
#endif

namespace isa {

struct Baseline {
  static constexpr Isa capability = isa_scalar;
  static constexpr const char* name = "baseline";
  static constexpr const GemmKernels& gemm = baseline::gemm_kernels;
  static constexpr const WinogradSet& winograd = baseline::winograd_kernels;
  static constexpr const BatchNormKernels& batch_norm = baseline::batch_norm_kernels;
  static constexpr const ElementwiseKernels& elementwise = baseline::elementwise_kernels;
  static constexpr const PoolKernels& pool = baseline::pool_kernels;
  static constexpr const PeakKernels& peak = baseline::peak_kernels;
};
#ifdef RT_HAVE_AVX2
struct Avx2 {
  static constexpr Isa capability = isa_avx2;
  static constexpr const char* name = "avx2";
  static constexpr const GemmKernels& gemm = avx2::gemm_kernels;
  static constexpr const WinogradSet& winograd = avx2::winograd_kernels;
  static constexpr const BatchNormKernels& batch_norm = avx2::batch_norm_kernels;
  static constexpr const ElementwiseKernels& elementwise = avx2::elementwise_kernels;
  static constexpr const PoolKernels& pool = avx2::pool_kernels;
  static constexpr const PeakKernels& peak = avx2::peak_kernels;
};
#endif
#ifdef RT_HAVE_AVX512
struct Avx512 {
  static constexpr Isa capability = isa_avx512;
  static constexpr const char* name = "avx512";
  static constexpr const GemmKernels& gemm = avx512::gemm_kernels;
  static constexpr const WinogradSet& winograd = avx512::winograd_kernels;
  static constexpr const BatchNormKernels& batch_norm = avx512::batch_norm_kernels;
  static constexpr const ElementwiseKernels& elementwise = avx512::elementwise_kernels;
  static constexpr const PoolKernels& pool = avx512::pool_kernels;
  static constexpr const PeakKernels& peak = avx512::peak_kernels;
};
#endif
// These only multiply matrices of bf16; for all else they take what the sets before them have.
#ifdef RT_HAVE_AVX512_BF16
struct Avx512Bf16 {
  static constexpr Isa capability = isa_avx512_bf16;
  static constexpr const char* name = "avx512_bf16";
  static constexpr const GemmKernelsOf<Bf16Pair>& gemm = avx512_bf16::gemm_kernels;
};
#endif
#ifdef RT_HAVE_AMX
struct Amx {
  static constexpr Isa capability = isa_amx;
  static constexpr const char* name = "amx";
  static constexpr const GemmKernelsOf<Bf16Pair>& gemm = amx::gemm_kernels;
};
#endif

}  // namespace isa

// f.operator()<Isa>() for each instruction set that this program was built for, best first.
template <class F>
void for_each_isa(F&& f) {
#ifdef RT_HAVE_AVX512
  f.template operator()<isa::Avx512>();
#endif
#ifdef RT_HAVE_AVX2
  f.template operator()<isa::Avx2>();
#endif
  f.template operator()<isa::Baseline>();
}
// The same for those that multiply pairs of bf16.
template <class F>
void for_each_isa_of_pairs([[maybe_unused]] F&& f) {
#ifdef RT_HAVE_AMX
  f.template operator()<isa::Amx>();
#endif
#ifdef RT_HAVE_AVX512_BF16
  f.template operator()<isa::Avx512Bf16>();
#endif
}

template <class Isa>
std::string row_name(const char* algorithm = "") {  // "cpu.avx2", "cpu.avx2.winograd"
  return std::string("cpu.") + Isa::name + (*algorithm ? "." : "") + algorithm;
}

}  // namespace rt
