#include "kernels/fusion.hpp"

#include <sstream>

#include "kernels/batch_norm/batch_norm.hpp"

namespace rt {
namespace {

bool same_momentum(const Problem& a, const Problem& b) {
  return batch_norm_attrs(a.ops).momentum == batch_norm_attrs(b.ops).momentum;
}
bool same_cast(const Problem& a, const Problem& b) {
  auto keeps_order = [](const Problem& p) { return p.in[0].shape.rank() < 4 || p.in[0].layout == p.out[0].layout; };
  return a.in[0].dtype == b.in[0].dtype && a.out[0].dtype == b.out[0].dtype && keeps_order(a) && keeps_order(b);
}

}  // namespace

std::span<const Rewrite> fusion_rules() {
  static const Rewrite rules[] = {
      {"bn_add_relu.forward",
       Gather{{"batch_norm.apply: x mean rstd gamma beta -> t", "add.forward: t skip -> u", "relu.forward: u -> y"},
              {"bn_add_relu.apply: x mean rstd gamma beta skip -> y"}}},
      {"bn_relu.forward", Gather{{"batch_norm.apply: x mean rstd gamma beta -> t", "relu.forward: t -> y"},
                                 {"bn_relu.apply: x mean rstd gamma beta -> y"}}},
      {"bn_relu.backward", Gather{{"relu.backward: dy y -> d", "batch_norm.sums: d x mean rstd -> dgamma dbeta",
                                   "batch_norm.dx: d x mean rstd gamma dgamma dbeta -> dx"},
                                  {"bn_relu.sums: dy y x mean rstd -> dgamma dbeta",
                                   "bn_relu.dx: dy y x mean rstd gamma dgamma dbeta -> dx"}}},
      // The skip connection needs d as well, so it is still written, by the step that has it in a register anyway.
      {"bn_add_relu.backward", Gather{{"relu.backward: dy y -> d", "batch_norm.sums: d x mean rstd -> dgamma dbeta",
                                       "batch_norm.dx: d x mean rstd gamma dgamma dbeta -> dx"},
                                      {"bn_relu.sums: dy y x mean rstd -> dgamma dbeta",
                                       "bn_add_relu.dx: dy y x mean rstd gamma dgamma dbeta -> dx d"}}},
      {"cross_entropy", Gather{{"cross_entropy.forward: logits labels -> loss lse correct",
                                "cross_entropy.backward: logits labels lse dloss -> dlogits"},
                               {"cross_entropy.with_gradient: logits labels dloss -> loss correct dlogits"}}},
      {"sgd", Gather{{"sgd.gradient: weights grads norm -> g", "sgd.momentum: momentum g norm -> momentum",
                      "sgd.apply: weights g momentum lr norm -> weights"},
                     {"sgd.update: weights grads momentum lr norm -> weights momentum"}}},
      {"sgd.round",
       Gather{{"sgd.update: weights grads momentum lr norm -> weights momentum", "weights.round: weights -> compute"},
              {"sgd.update: weights grads momentum lr norm -> weights momentum compute"}}},
      // Convolutions that do a part of the batch norms beside them, where an implementation can
      // (conv2d/conv2d_fusion.hpp).
      {"conv2d.backward",
       Gather{{"conv2d.dw: dy x -> dw", "conv2d.dx: dy w -> dx"}, {"conv2d.backward: dy x w -> dx dw"}}},
      {"conv2d.stats", Gather{{"conv2d.forward: x w -> y", "batch_norm.stats: y -> mean rstd var"},
                              {"conv2d.forward.stats: x w -> y mean rstd var"}}},
      {"conv2d.on_load", InPlace{{{"bn_relu.apply: x mean rstd gamma beta -> z", ""},
                                  {"conv2d.forward.stats: z w -> y mean2 rstd2 var2",
                                   "conv2d.forward.stats.on_load: x mean rstd gamma beta w -> y mean2 rstd2 var2"},
                                  {"conv2d.backward: dy z w -> dz dw",
                                   "conv2d.backward.on_load.sums: dy x mean rstd gamma beta w -> dz dw dgamma dbeta"},
                                  {"bn_relu.sums: dz z x mean rstd -> dgamma dbeta", ""},
                                  {"bn_relu.dx: dz z x mean rstd gamma dgamma dbeta -> dx",
                                   "bn_relu.dx_by_x: dz x mean rstd gamma beta dgamma dbeta -> dx"}}}},
      {"conv2d.add_sums", Gather{{"conv2d.backward: dy x w -> dx dw", "accumulate: dx other -> sum",
                                  "bn_relu.sums: sum x t mean rstd -> dgamma dbeta"},
                                 {"conv2d.backward.add.sums: dy x w other t mean rstd -> sum dw dgamma dbeta"}}},
      {"conv2d.add", Gather{{"conv2d.backward: dy x w -> dx dw", "accumulate: dx other -> sum"},
                            {"conv2d.backward.add: dy x w other -> sum dw"}}},
      {"conv2d.of_bn_relu.sums",
       InPlace{
           {{"bn_relu.dx_by_x: dt t mean rstd gamma beta dgamma dbeta -> dy", ""},
            {"conv2d.backward.add.sums: dy x w other t2 mean2 rstd2 -> dx dw dgamma2 dbeta2",
             "conv2d.backward.of_bn_relu.add.sums: dt t mean rstd gamma beta dgamma dbeta x w other t2 mean2 rstd2 -> "
             "dx dw dgamma2 dbeta2"}}}},
      {"conv2d.of_bn_relu",
       InPlace{{{"bn_relu.dx_by_x: dt t mean rstd gamma beta dgamma dbeta -> dy", ""},
                {"conv2d.backward.add: dy x w other -> dx dw",
                 "conv2d.backward.of_bn_relu.add: dt t mean rstd gamma beta dgamma dbeta x w other -> dx dw"}}}},
      {"conv2d.of_bn_add_relu",
       InPlace{
           {{"bn_add_relu.dx: dz z t mean rstd gamma dgamma dbeta -> dy d", ""},
            {"conv2d.backward.on_load.sums: dy x mean2 rstd2 gamma2 beta2 w -> dx dw dgamma2 dbeta2",
             "conv2d.backward.of_bn_add_relu.on_load.sums: dz z t mean rstd gamma dgamma dbeta x mean2 rstd2 gamma2 "
             "beta2 w -> d dx dw dgamma2 dbeta2"}}}},
      // On a GPU a small kernel takes as long as its launch.
      {"batch_norm.update_running.all",
       Collect{"batch_norm.update_running", "batch_norm.update_running.all", same_momentum}},
      {"convert.all", Collect{"convert", "convert.all", same_cast}},
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
