#include "bench/optimisations.hpp"

#include <algorithm>

#include "core/check.hpp"

namespace rt {
namespace {

Optimisation switched(const std::string& name, const std::vector<std::string>& needs = {}) {
  return {
      .name = name,
      .on = {"optimize." + name + "=true"},
      .off = {"optimize." + name + "=false"},
      .needs = needs,
  };
}

Optimisation precision(const std::string& name, const std::string& on) {
  return {.name = name, .on = {"--precision", on}, .off = {"--precision", "f32"}, .needs = {}};
}

std::vector<Optimisation> for_cuda() {
  return {
      switched("plan"),     switched("fuse", {"plan"}),  switched("memory", {"plan"}),   switched("layout"),
      switched("resident"), switched("graph", {"plan"}), precision("precision", "auto"),
  };
}

std::vector<Optimisation> for_cpu() {
  const Optimisation conv2d_fusion = {
      .name = "conv2d_fusion",
      .on = {"optimize.unfused="},
      .off = {"optimize.unfused=conv2d.stats conv2d.on_load conv2d.add_sums conv2d.add"},
      .needs = {"plan", "fuse", "winograd"},
  };
  const Optimisation recompute = {
      .name = "recompute",
      .on = {"optimize.recompute=cheap"},
      .off = {"optimize.recompute=none"},
      .needs = {"plan", "memory"},
  };
  // Both are one fact: without a worker no batch is prepared ahead.
  const Optimisation workers = {
      .name = "workers and prefetch",
      .on = {"--workers", "1"},
      .off = {"--workers", "0"},
      .needs = {},
  };
  return {
      switched("plan"), switched("fuse", {"plan"}),   switched("winograd"),
      conv2d_fusion,    switched("memory", {"plan"}), recompute,
      workers,          precision("bf16", "bf16"),
  };
}

}  // namespace

std::vector<Optimisation> optimisations(Device device) { return device == Device::cuda ? for_cuda() : for_cpu(); }

std::vector<Optimisation> optimisations(Device device, const std::vector<std::string>& words) {
  const std::vector<Optimisation> all = optimisations(device);
  if (words.empty()) return all;
  std::vector<std::string> known;
  for (const Optimisation& x : all) known.push_back(x.word());
  for (const std::string& word : words)
    if (std::find(known.begin(), known.end(), word) == known.end())
      fail(ExitCode::usage, "rbench ablate: there is no optimisation '{}' on this device; there are {}", word,
           joined(known, ", "));
  std::vector<Optimisation> some;
  for (const Optimisation& x : all)
    if (std::find(words.begin(), words.end(), x.word()) != words.end()) some.push_back(x);
  return some;
}

}  // namespace rt
