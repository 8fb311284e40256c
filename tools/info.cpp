// rtrain info and rtrain config: what the machine is, and what every setting is and why.
#include <nlohmann/json.hpp>

#include "core/device.hpp"
#include "tools/verbs.hpp"
#include "train/session.hpp"

namespace rt {

int run_info(bool json) {
  const Machine& m = machine();
  std::string compiled = "scalar";
#if defined(RT_HAVE_AVX2)
  compiled += " avx2 avx512";
#endif
  if (json) {
    const nlohmann::json j = {{"version", RT_VERSION},
                              {"compiler", __VERSION__},
                              {"cpu", m.cpu_model},
                              {"isa", name_of(m.isa)},
                              {"isa_reason", m.isa_reason},
                              {"isa_compiled", compiled},
                              {"physical_cores", m.physical_cores},
                              {"logical_cpus", m.logical_cpus},
                              {"affinity_cpus", m.affinity_cpus},
                              {"threads", m.threads.value},
                              {"threads_reason", m.threads.reason},
                              {"usable_memory_bytes", m.usable_memory_bytes.value},
                              {"usable_memory_reason", m.usable_memory_bytes.reason},
                              {"device", "cpu"},
                              {"cuda_architectures", nlohmann::json::array()}};
    fmt::print("{}\n", j.dump(2));
    return 0;
  }
  fmt::print("rtrain {} (compiler {})\n", RT_VERSION, __VERSION__);
  fmt::print("  CPU             {}\n", m.cpu_model);
  fmt::print("  instructions    {} ({}); kernels compiled for: {}\n", name_of(m.isa), m.isa_reason, compiled);
  fmt::print("  threads         {} ({})\n", m.threads.value, m.threads.reason);
  fmt::print("  memory          {:.1f} GiB usable ({})\n", static_cast<double>(m.usable_memory_bytes.value) / (1 << 30),
             m.usable_memory_bytes.reason);
  fmt::print("  device          cpu: this build has no CUDA code\n");
  return 0;
}

int run_config(const std::string& file, const std::vector<std::string>& overrides, bool origin) {
  LoadedConfig loaded = load_config(file, overrides);
  if (!loaded.config.data.dir.empty()) {
    loaded =
        open_session(loaded)->loaded;  // everything that depends on the data and the model is decided as in training
  } else {
    resolve_auto(loaded, {.machine = machine()});
  }
  fmt::print("{}", config_table(loaded, origin));
  return 0;
}

}  // namespace rt
