#include "kernels/rows.hpp"
#include "kernels/update/report.hpp"
#include "kernels/update/sgd.hpp"

namespace rt {

void add_update_rows(Rows& rows) {
  namespace ref = cpu::reference;

  rows.add({.kind = kinds::grad_norm, .name = "cpu", .run = cpu::grad_norm, .workspace = cpu::grad_norm_workspace});
  rows.cuda(
      {.kind = kinds::grad_norm, .run = in_cuda<cuda::grad_norm>(), .workspace = in_cuda<cuda::grad_norm_workspace>()});
  rows.via_cpu<cpu::grad_norm, cpu::grad_norm_workspace>(kinds::grad_norm);

  rows.reference(kinds::sgd_gradient, ref::sgd_gradient);
  rows.cuda({.kind = kinds::sgd_gradient, .run = in_cuda<cuda::sgd_gradient>()});
  rows.via_cpu<ref::sgd_gradient>(kinds::sgd_gradient);

  rows.reference(kinds::sgd_momentum, ref::sgd_momentum);
  rows.cuda({.kind = kinds::sgd_momentum, .run = in_cuda<cuda::sgd_momentum>()});
  rows.via_cpu<ref::sgd_momentum>(kinds::sgd_momentum);

  rows.reference(kinds::sgd_apply, ref::sgd_apply);
  rows.cuda({.kind = kinds::sgd_apply, .run = in_cuda<cuda::sgd_apply>()});
  rows.via_cpu<ref::sgd_apply>(kinds::sgd_apply);

  rows.reference(kinds::weights_round, ref::weights_round);
  rows.cuda({.kind = kinds::weights_round, .run = in_cuda<cuda::weights_round>()});
  rows.via_cpu<ref::weights_round>(kinds::weights_round);

  rows.add({.kind = kinds::sgd_update, .name = "cpu", .run = cpu::sgd_update});
  rows.cuda({.kind = kinds::sgd_update, .run = in_cuda<cuda::sgd_update>()});
  rows.via_cpu<cpu::sgd_update>(kinds::sgd_update);

  rows.add({.kind = kinds::commit, .name = "cpu", .run = cpu::commit});
  rows.cuda({.kind = kinds::commit, .run = in_cuda<cuda::commit>()});
  rows.via_cpu<cpu::commit>(kinds::commit);

  rows.reference(kinds::control_update, ref::control_update);
  rows.cuda({.kind = kinds::control_update, .run = in_cuda<cuda::control_update>()});
  rows.via_cpu<ref::control_update>(kinds::control_update);

  rows.reference(kinds::loss_scale, ref::loss_scale);
  rows.cuda({.kind = kinds::loss_scale, .run = in_cuda<cuda::loss_scale>()});
  rows.via_cpu<ref::loss_scale>(kinds::loss_scale);

  rows.reference(kinds::report, ref::report);
  rows.cuda({.kind = kinds::report, .run = in_cuda<cuda::report>()});
  rows.via_cpu<ref::report>(kinds::report);
}

}  // namespace rt
