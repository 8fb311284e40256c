#include "train/config/device_choice.hpp"

#include <charconv>

#include "core/cuda.hpp"

namespace rt {
namespace {

// The number in "cuda:N"; -1 where there is none, or it is none.
int device_number(const std::string& text) {
  constexpr std::string_view prefix = "cuda:";
  int index = -1;
  if (!text.starts_with(prefix)) return -1;
  const char *first = text.data() + prefix.size(), *last = text.data() + text.size();
  const auto [end, error] = std::from_chars(first, last, index);
  return error == std::errc() && end == last && index >= 0 ? index : -1;
}

}  // namespace

bool is_device_name(const std::string& text) {
  return text == "auto" || text == "cpu" || text == "cuda" || device_number(text) >= 0;
}

std::string precision_problem(const Target& target, DType precision) {
  if (precision == DType::f32) return "";
  if (target.device == Device::cpu)
    return precision == DType::bf16 ? "" : "needs device=cuda: the CPU stores f32 or bf16, and computes in f32";
  if (precision == DType::bf16 && target.capability < 80)
    return rt::format("needs compute capability 8.0, this device has {}.{}; use f16 or f32", target.capability / 10,
                      target.capability % 10);
  return "";
}

DeviceChoice choose_device(const std::string& wanted, const std::string& where) {
  if (!is_device_name(wanted))
    fail(ExitCode::usage, "{}: device \"{}\" must be cpu, cuda, cuda:N or auto", where, wanted);
  DeviceChoice choice;
  if (wanted == "cpu") return choice;
  const bool automatic = wanted == "auto";
  const cuda::Support& support = cuda::support();
  int index = device_number(wanted);
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
  choice.name = rt::format("cuda:{}", index);
  choice.target = cuda_target();
  choice.reason = rt::format("{} of compute capability {}", d.name, capability_text(d.capability));
  const size_t free = cuda::free_bytes();
  choice.memory = {
      .value = static_cast<int64_t>(free),
      .reason = rt::format("{:.1f} GiB of memory free on the {}", static_cast<double>(free) / (1 << 30), d.name)};
  return choice;
}

}  // namespace rt
