#include "kernels/augment/augment.hpp"
#include "kernels/rows.hpp"

namespace rt {

void add_augment_rows(Rows& rows) {
  rows.reference(kinds::augment, cpu::reference::augment);
  rows.cuda({.kind = kinds::augment, .run = in_cuda<cuda::augment>()});
  rows.via_cpu<cpu::reference::augment>(kinds::augment);
}

}  // namespace rt
