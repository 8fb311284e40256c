#include "layers/models.hpp"

#include <algorithm>

#include "core/check.hpp"
#include "layers/resnet.hpp"
#include "layers/vgg.hpp"

namespace rt {

std::span<const Architecture> architectures() {
  static const std::vector<Architecture> table = {
      {.name = "resnet18", .make = make_basic_resnet, .depths = {2, 2, 2, 2}},
      {.name = "resnet34", .make = make_basic_resnet, .depths = {3, 4, 6, 3}},
      {.name = "resnet50", .make = make_bottleneck_resnet, .depths = {3, 4, 6, 3}},
      {.name = "resnet101", .make = make_bottleneck_resnet, .depths = {3, 4, 23, 3}},
      {.name = "resnet152", .make = make_bottleneck_resnet, .depths = {3, 8, 36, 3}},
      {.name = "vgg11", .make = make_vgg, .depths = {1, 1, 2, 2, 2}},
  };
  return table;
}

std::vector<std::string_view> architecture_names() {
  std::vector<std::string_view> names;
  for (const Architecture& a : architectures()) names.push_back(a.name);
  return names;
}

std::unique_ptr<Model> make_model(const ModelConfig& config) {
  if (std::find(stems.begin(), stems.end(), config.stem) == stems.end())
    fail(ExitCode::usage, "model.stem = {}: must be one of {}", config.stem, joined(stems, ", "));
  for (const Architecture& a : architectures()) {
    if (a.name != config.arch) continue;
    std::unique_ptr<Model> model = a.make(config, a.depths);
    model->finish();
    return model;
  }
  fail(ExitCode::usage, "model.arch = {}: must be one of {}", config.arch, joined(architecture_names(), ", "));
}

}  // namespace rt
