// rtrain info: what the machine is, and what rtrain uses of it.
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/cuda.hpp"
#include "core/device.hpp"
#include "kernels/defaults.hpp"
#include "kernels/isa.hpp"
#include "kernels/table.hpp"
#include "tools/doctor.hpp"
#include "tools/verbs.hpp"

namespace rt {
namespace {

nlohmann::json cuda_json(const cuda::Support& s) {
  nlohmann::json devices = nlohmann::json::array();
  for (const cuda::DeviceInfo& d : s.devices)
    devices.push_back({{"index", d.index},
                       {"name", d.name},
                       {"capability", d.capability},
                       {"multiprocessors", d.multiprocessors},
                       {"total_bytes", d.total_bytes},
                       {"problem", d.problem}});
  return {{"problem", s.problem}, {"driver", s.driver}, {"runtime", s.runtime},
          {"cudnn", s.cudnn},     {"cublas", s.cublas}, {"devices", devices}};
}

void print_cuda(const cuda::Support& s) {
  std::string compiled;
  for (int a : s.architectures) compiled += " " + capability_text(a);
  rt::print("  CUDA            {}, driver {}, cuDNN {}, cuBLAS {}; kernels compiled for:{}\n", dotted(s.runtime),
            s.driver ? dotted(s.driver) : "none", library_version(s.cudnn), library_version(s.cublas), compiled);
  for (const cuda::DeviceInfo& d : s.devices)
    rt::print("  GPU {:<11} {}, compute capability {}, {:.1f} GiB{}{}\n", d.index, d.name,
              capability_text(d.capability), static_cast<double>(d.total_bytes) / (1 << 30),
              d.problem.empty() ? "" : "; cannot be used: ", d.problem);
}

// What `auto` would compute on, and in: nothing is set up for it.
Target automatic_target(const cuda::Support& s) {
  for (const cuda::DeviceInfo& d : s.devices)
    if (d.problem.empty()) return {Device::cuda, d.capability};
  return cpu_target();
}

// "scalar avx2 avx512 avx512_bf16 amx": the least capable first.
std::string compiled_sets() {
  std::map<Isa, const char*> names;
  const auto add = [&]<class Set>() { names[Set::capability] = name_of(Set::capability); };
  for_each_isa(add);
  for_each_isa_of_pairs(add);
  std::string text;
  for (const auto& [isa, name] : names) text += rt::format("{}{}", text.empty() ? "" : " ", name);
  return text;
}

void print_json() {
  const Machine& m = machine();
  const cuda::Support& gpu = cuda::support();
  const ComputeDefaults defaults = compute_defaults(automatic_target(gpu));
  const nlohmann::json j = {{"version", RT_VERSION},
                            {"compiler", __VERSION__},
                            {"cpu", m.cpu_model},
                            {"isa", name_of(m.isa)},
                            {"isa_reason", m.isa_reason},
                            {"isa_compiled", compiled_sets()},
                            {"physical_cores", m.physical_cores},
                            {"logical_cpus", m.logical_cpus},
                            {"affinity_cpus", m.affinity_cpus},
                            {"threads", m.threads.value},
                            {"threads_reason", m.threads.reason},
                            {"usable_memory_bytes", m.usable_memory_bytes.value},
                            {"usable_memory_reason", m.usable_memory_bytes.reason},
                            {"device", gpu.problem.empty() ? "cuda" : "cpu"},
                            {"device_reason", gpu.problem},
                            {"layout", name_of(defaults.layout)},
                            {"layout_reason", defaults.layout_reason},
                            {"precision", name_of(defaults.precision)},
                            {"precision_reason", defaults.precision_reason},
                            {"cuda_architectures", gpu.architectures},
                            {"cuda", gpu.architectures.empty() ? nlohmann::json() : cuda_json(gpu)}};
  rt::print("{}\n", j.dump(2));
}

void print_text() {
  const Machine& m = machine();
  const cuda::Support& gpu = cuda::support();
  const ComputeDefaults defaults = compute_defaults(automatic_target(gpu));
  rt::print("rtrain {} (compiler {})\n", RT_VERSION, __VERSION__);
  rt::print("  CPU             {}\n", m.cpu_model);
  rt::print("  instructions    {} ({}); kernels compiled for: {}\n", name_of(m.isa), m.isa_reason, compiled_sets());
  rt::print("  threads         {} ({})\n", m.threads.value, m.threads.reason);
  rt::print("  memory          {:.1f} GiB usable ({})\n", static_cast<double>(m.usable_memory_bytes.value) / (1 << 30),
            m.usable_memory_bytes.reason);
  if (!gpu.architectures.empty()) print_cuda(gpu);
  rt::print("  device          {}{}\n", gpu.problem.empty() ? "cuda" : "cpu: ", gpu.problem);
  rt::print("  layout          {} ({})\n", name_of(defaults.layout), defaults.layout_reason);
  rt::print("  precision       {} ({})\n", name_of(defaults.precision), defaults.precision_reason);
}

std::function<int()> add(CLI::App& command) {
  const auto json = std::make_shared<bool>(false);
  command.add_flag("--json", *json, "as JSON");
  return [json] {
    *json ? print_json() : print_text();
    return 0;
  };
}

}  // namespace

const Verb info_verb = {
    .name = "info",
    .help = "Show the machine, and what rtrain uses of it.",
    .add = add,
};

}  // namespace rt
