// Which build of the peak loops runs here.
#include "kernels/isa.hpp"

namespace rt {

const PeakKernels& peak_kernels() {
  const PeakKernels* best = nullptr;
  for_each_isa([&]<class Isa>() {
    if (!best && machine().isa >= Isa::capability) best = &Isa::peak;
  });
  return *best;
}

}  // namespace rt
