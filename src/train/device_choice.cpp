#include "train/device_choice.hpp"

#include <cstdlib>

#include "core/cuda.hpp"

namespace rt {

DeviceChoice choose_device(const std::string& wanted, const std::string& where) {
  DeviceChoice choice;
  if (wanted == "cpu") return choice;
  const bool automatic = wanted == "auto";
  const cuda::Support& support = cuda::support();
  int index = wanted.starts_with("cuda:") ? std::atoi(wanted.c_str() + 5) : -1;
  if (index < 0)
    for (const cuda::DeviceInfo& d : support.devices)
      if (index < 0 && d.problem.empty()) index = d.index;
  if (support.problem.empty() && index >= static_cast<int>(support.devices.size()))
    fail(ExitCode::device, "{}: device = \"{}\": there {} only {} CUDA device{}, counted from 0", where, wanted,
         support.devices.size() == 1 ? "is" : "are", support.devices.size(), support.devices.size() == 1 ? "" : "s");
  const std::string problem =
      !support.problem.empty() ? support.problem : support.devices[static_cast<size_t>(index)].problem;
  if (!problem.empty()) {
    if (!automatic)
      fail(ExitCode::device, "{}: device = \"{}\": {}; device=cpu trains without it", where, wanted, problem);
    choice.reason = problem;
    return choice;
  }
  cuda::use(index);
  const cuda::DeviceInfo& d = support.devices[static_cast<size_t>(index)];
  choice.device = Device::cuda;
  choice.name = fmt::format("cuda:{}", index);
  choice.target = cuda_target();
  choice.reason = fmt::format("{} of compute capability {}.{}", d.name, d.capability / 10, d.capability % 10);
  const size_t free = cuda::free_bytes();
  choice.memory = {static_cast<int64_t>(free),
                   fmt::format("{:.1f} GiB of memory free on the {}", static_cast<double>(free) / (1 << 30), d.name)};
  return choice;
}

}  // namespace rt
