#include <algorithm>

#include "kernels/cases/operators.hpp"
#include "kernels/update/optimizer.hpp"
#include "kernels/update/report.hpp"

namespace rt {
namespace {

CaseInput control_input(float scale, float good, float stop) {
  return {"control", {4}, Role::state, Fill::uniform, 0, 0, {scale, good, 1, stop}};
}
// A whole update. The weights to compute with are the first that decay, and exist in half precision only.
struct SgdCase {
  int64_t parameters, decayed;
  OptimizerAttrs attrs = {.nesterov = false};
  ControlAttrs control = {};
  float stop = 0;
};
OpCase sgd_case(const SgdCase& c) {
  const Shape p{c.parameters}, statistics{std::max<int64_t>(c.parameters / 100, 1)};
  const std::vector<FlatSlice> slices{
      {.name = "decaying", .shape = {c.decayed}},
      {.name = "others", .shape = {c.parameters - c.decayed}, .offset = c.decayed, .decays = false}};
  return {"sgd",
          rt::format("{} of {} decay{}{}{}", c.decayed, c.parameters, c.attrs.nesterov ? ", nesterov" : "",
                     c.control.clip_norm > 0 ? ", clipped" : "", c.stop != 0 ? ", stopped" : ""),
          {{"weights", p, Role::state},
           {"grads", p, Role::state, Fill::uniform, -1, 1},
           {"momentum", p, Role::state, Fill::uniform, -0.01f, 0.01f},
           {"lr", {}, Role::state, Fill::uniform, 0.01f, 0.1f},
           {"loss", {}, Role::state},
           control_input(256, 3, c.stop),
           {"running", statistics, Role::state},
           {"running_fresh", statistics, Role::state},
           {"compute", {c.decayed}, Role::image},
           {"updates", {}, Role::labels, Fill::uniform, 0, 0, {17}}},
          [c, slices](Tape& t, Vars v) {
            const bool half = t.spec(v[8]).dtype != DType::f32;
            const UpdateVars vars{.weights = v[0],
                                  .grads = v[1],
                                  .slots = {{"momentum", v[2]}},
                                  .parameters = slices,
                                  .lr = v[3],
                                  .loss = v[4],
                                  .control = v[5],
                                  .updates = v[9],
                                  .running = v[6],
                                  .running_fresh = v[7],
                                  .compute = half ? v[8] : Var{}};
            return record_update(t, vars, optimizer_named("sgd"), c.attrs, c.control);
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
                  sgd_case({.parameters = 50, .decayed = 50}),
                  sgd_case({.parameters = 1003, .decayed = 997, .control = {.dynamic_scale = true}}),
                  sgd_case({.parameters = 1003, .decayed = 501, .stop = 1}),
                  loss_scale_case(),
                  report_case(true),
                  report_case(false),
              },
          .larger = {sgd_case(
              {.parameters = 40001, .decayed = 30001, .attrs = {.nesterov = true}, .control = {.clip_norm = 0.1}})}};
}

}  // namespace rt
