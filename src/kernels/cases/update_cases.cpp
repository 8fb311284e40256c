#include <algorithm>

#include "kernels/cases/operators.hpp"
#include "kernels/update/report.hpp"
#include "kernels/update/update.hpp"

namespace rt {
namespace {

CaseInput control_input(float scale, float good, float stop) {
  return {"control", {4}, Role::state, Fill::uniform, 0, 0, {scale, good, 1, stop}};
}
// The weights to compute with are the first that decay, and exist in half precision only.
OpCase sgd_case(int64_t parameters, SgdAttrs attrs, float stop = 0) {
  const Shape p{parameters}, statistics{std::max<int64_t>(parameters / 100, 1)};
  return {"sgd",
          rt::format("{} of {} decay{}{}{}", attrs.decayed, parameters, attrs.nesterov ? ", nesterov" : "",
                     attrs.clip_norm > 0 ? ", clipped" : "", stop != 0 ? ", stopped" : ""),
          {{"weights", p, Role::state},
           {"grads", p, Role::state, Fill::uniform, -1, 1},
           {"momentum", p, Role::state, Fill::uniform, -0.01f, 0.01f},
           {"lr", {}, Role::state, Fill::uniform, 0.01f, 0.1f},
           {"loss", {}, Role::state},
           control_input(256, 3, stop),
           {"running", statistics, Role::state},
           {"running_fresh", statistics, Role::state},
           {"compute", {attrs.decayed}, Role::image}},
          [attrs](Tape& t, Vars v) {
            const bool half = t.spec(v[8]).dtype != DType::f32;
            return sgd_update(t, {v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], half ? v[8] : Var{}}, attrs);
          },
          false};
}
OpCase loss_scale_case() {
  return {"loss_scale",
          "scalar",
          {{"weight", {}, Role::state}, control_input(65536, 0, 0)},
          [](Tape& t, Vars v) { return scaled_weight(t, v[0], v[1]); },
          false};
}
OpCase report_case(bool with_norm) {
  return {"report",
          with_norm ? "of an update" : "without an update",
          {{"loss", {}, Role::state},
           {"correct", {2}, Role::labels, Fill::uniform, 0, 512},
           control_input(1024, 7, 1),
           {"norm", {3}, Role::state},
           {"report", {report_fields}, Role::state}},
          [with_norm](Tape& t, Vars v) {
            report(t, v[0], v[1], v[2], with_norm ? v[3] : Var{}, v[4]);
            return v[4];
          },
          false};
}

}  // namespace

Cases update_cases() {
  return {.small =
              {
                  sgd_case(50, {.decayed = 50}),
                  sgd_case(1003, {.decayed = 997, .dynamic_scale = true}),
                  sgd_case(1003, {.decayed = 501}, 1),
                  loss_scale_case(),
                  report_case(true),
                  report_case(false),
              },
          .larger = {sgd_case(40001, {.nesterov = true, .clip_norm = 0.1, .decayed = 30001})}};
}

}  // namespace rt
