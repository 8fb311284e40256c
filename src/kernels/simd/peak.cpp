// Which build of the peak loops runs here.
#include "core/device.hpp"
#include "kernels/simd/peak_simd.hpp"

namespace rt {

const PeakKernels& peak_kernels() {
#ifdef RT_HAVE_AVX512
  if (machine().isa >= isa_avx512) return avx512::peak_kernels;
#endif
#ifdef RT_HAVE_AVX2
  if (machine().isa >= isa_avx2) return avx2::peak_kernels;
#endif
  return baseline::peak_kernels;
}

}  // namespace rt
