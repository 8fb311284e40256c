#include "core/device.hpp"

#include <sys/resource.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#endif

#include <cstdlib>
#include <vector>

#include "core/check.hpp"
#include "core/probe.hpp"
#include "core/threads.hpp"

namespace rt {

const char* name_of(Device device) { return device == Device::cpu ? "cpu" : "cuda"; }
const char* name_of(Isa isa) {
#if defined(__aarch64__)
  constexpr const char* baseline = "neon";
#else
  constexpr const char* baseline = "scalar";
#endif
  constexpr const char* names[] = {baseline, "avx2", "avx512", "avx512_bf16", "amx"};
  return names[isa];
}

namespace {

std::string gib(double bytes) { return rt::format("{:.1f} GiB", bytes / (1024.0 * 1024 * 1024)); }

#if defined(__x86_64__)
// Linux gives the registers of tiles only to a process that asks (5.16 or newer), for all of its threads.
bool has_amx() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned of_bf16 = 1u << 22, tiles = 1u << 24;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & of_bf16) == 0 || (d & tiles) == 0) return false;
  constexpr long request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}
#endif

Isa detect_isa() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq"))
    return !__builtin_cpu_supports("avx512bf16") ? isa_avx512 : has_amx() ? isa_amx : isa_avx512_bf16;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return isa_avx2;
#endif
  return isa_scalar;
}

void choose_isa(Machine& m) {
  m.isa = detect_isa();
  m.isa_reason = "found";
  const char* forced = std::getenv("RT_FORCE_ISA");
  if (forced == nullptr || *forced == '\0') return;
  const std::string want = forced;
  Isa isa = isa_scalar;
  while (isa <= isa_amx && want != name_of(isa)) isa = static_cast<Isa>(isa + 1);
  if (isa > isa_amx)
    fail(ExitCode::usage, "RT_FORCE_ISA={}: known instruction sets are {}, avx2, avx512, avx512_bf16 and amx", want,
         name_of(isa_scalar));
  if (isa > m.isa) fail(ExitCode::usage, "RT_FORCE_ISA={}: this CPU has only {}", want, name_of(m.isa));
  m.isa = isa;
  m.isa_reason = "RT_FORCE_ISA=" + want;
}

Machine probe_machine() {
  Machine m;
  m.cpu_model = probe::cpu_model("");
  choose_isa(m);

  m.logical_cpus = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  std::vector<int> cpus = process_cpus();
  if (cpus.empty())
    for (int cpu = 0; cpu < m.logical_cpus; ++cpu) cpus.push_back(cpu);
  probe::limit_threads(m, "", cpus, std::getenv("OMP_NUM_THREADS"));

  m.usable_memory_bytes = {probe::meminfo_bytes("", "MemAvailable"), ""};
  m.usable_memory_bytes.reason = gib(static_cast<double>(m.usable_memory_bytes.value)) + " of memory available";
  if (const double limit = probe::cgroup_memory("");
      limit > 0 && limit < static_cast<double>(m.usable_memory_bytes.value))
    m.usable_memory_bytes = {static_cast<int64_t>(limit), "cgroup memory limit " + gib(limit)};
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
      static_cast<double>(limit.rlim_cur) < static_cast<double>(m.usable_memory_bytes.value))
    m.usable_memory_bytes = {static_cast<int64_t>(limit.rlim_cur),
                             "address-space limit " + gib(static_cast<double>(limit.rlim_cur)) + " (ulimit -v)"};
  return m;
}

}  // namespace

const Machine& machine() {
  static const Machine m = probe_machine();
  return m;
}

int64_t peak_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

}  // namespace rt
