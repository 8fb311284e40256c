#include "core/device.hpp"

#include <omp.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <vector>

#include "core/check.hpp"

namespace rt {

const char* name_of(Device device) { return device == Device::cpu ? "cpu" : "cuda"; }
const char* name_of(Isa isa) {
#if defined(__aarch64__)
  constexpr const char* baseline = "neon";
#else
  constexpr const char* baseline = "scalar";
#endif
  constexpr const char* names[] = {baseline, "avx2", "avx512", "avx512_bf16"};
  return names[isa];
}

namespace {

std::string read_line(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

std::string gib(double bytes) { return rt::format("{:.1f} GiB", bytes / (1024.0 * 1024 * 1024)); }

Isa detect_isa() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq"))
    return __builtin_cpu_supports("avx512bf16") ? isa_avx512_bf16 : isa_avx512;
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
  while (isa <= isa_avx512_bf16 && want != name_of(isa)) isa = static_cast<Isa>(isa + 1);
  if (isa > isa_avx512_bf16)
    fail(ExitCode::usage, "RT_FORCE_ISA={}: known instruction sets are {}, avx2, avx512 and avx512_bf16", want,
         name_of(isa_scalar));
  if (isa > m.isa) fail(ExitCode::usage, "RT_FORCE_ISA={}: this CPU has only {}", want, name_of(m.isa));
  m.isa = isa;
  m.isa_reason = "RT_FORCE_ISA=" + want;
}

std::string core_of(int cpu) {  // "package/core"; a name of its own where the kernel does not say
  const std::string topology = rt::format("/sys/devices/system/cpu/cpu{}/topology/", cpu);
  const std::string core = read_line(topology + "core_id");
  return core.empty() ? rt::format("cpu{}", cpu) : read_line(topology + "physical_package_id") + "/" + core;
}

// Physical cores among the CPUs this process may run on.
int count_cores(const cpu_set_t& mask) {
  std::set<std::string> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &mask)) cores.insert(core_of(cpu));
  return static_cast<int>(cores.size());
}

// The tightest value of a cgroup file on the path from this process's group to the root; v2 first, then v1.
template <class Parse>
double tightest(const char* v2_file, const char* v1_controller, const char* v1_file, Parse parse) {
  double best = 0;
  auto consider = [&](const std::string& folder, const char* file) {
    const double value = parse(folder, read_line(folder + "/" + file));
    if (value > 0 && (best == 0 || value < best)) best = value;
  };
  auto walk = [&](const std::string& root, std::string path, const char* file) {
    for (;;) {
      consider(root + path, file);
      if (path.empty() || path == "/") break;
      path.erase(path.find_last_of('/'));
    }
  };
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), path = line.substr(second + 1);
    if (controllers.empty())
      walk("/sys/fs/cgroup", path, v2_file);
    else if (("," + controllers + ",").find("," + std::string(v1_controller) + ",") != std::string::npos)
      walk("/sys/fs/cgroup/" + std::string(v1_controller), path, v1_file);
  }
  return best;
}

double cgroup_cpus() {
  return tightest("cpu.max", "cpu", "cpu.cfs_quota_us", [](const std::string& folder, const std::string& line) {
    std::istringstream in(line);
    double quota = 0, period = 0;
    if (!(in >> quota) || quota <= 0) return 0.0;  // "max" and -1 mean no limit
    if (!(in >> period)) std::istringstream(read_line(folder + "/cpu.cfs_period_us")) >> period;
    return period > 0 ? quota / period : 0.0;
  });
}

double cgroup_memory() {
  return tightest("memory.max", "memory", "memory.limit_in_bytes", [](const std::string&, const std::string& line) {
    std::istringstream in(line);
    double bytes = 0;
    return (in >> bytes) && bytes < 1e18 ? bytes : 0.0;
  });
}

int64_t meminfo_bytes(const char* key) {
  std::ifstream in("/proc/meminfo");
  for (std::string line; std::getline(in, line);)
    if (line.rfind(key, 0) == 0) return std::strtoll(line.c_str() + std::string(key).size() + 1, nullptr, 10) * 1024;
  return 0;
}

std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  std::string implementer, part;  // all that Arm's kernels say, in hexadecimal
  for (std::string line; std::getline(info, line);) {
    const size_t colon = line.find(": ");
    if (colon == std::string::npos) continue;
    const std::string value = line.substr(colon + 2);
    if (line.starts_with("model name")) return value;
    if (line.starts_with("CPU implementer")) implementer = value;
    if (line.starts_with("CPU part")) part = value;
  }
  return part.empty() ? "unknown CPU" : rt::format("Arm CPU, implementer {}, part {}", implementer, part);
}

Machine probe() {
  Machine m;
  m.cpu_model = cpu_model();
  choose_isa(m);

  m.logical_cpus = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof mask, &mask) != 0)
    for (int i = 0; i < m.logical_cpus; ++i) CPU_SET(i, &mask);
  m.affinity_cpus = CPU_COUNT(&mask);
  m.physical_cores = count_cores(mask);
  m.cgroup_cpus = cgroup_cpus();
  m.threads = {m.physical_cores, rt::format("{} physical core{}", m.physical_cores, m.physical_cores == 1 ? "" : "s")};
  if (m.affinity_cpus < m.logical_cpus)
    m.threads.reason += rt::format(" among {} of {} CPUs in the affinity mask", m.affinity_cpus, m.logical_cpus);
  if (m.cgroup_cpus > 0 && m.cgroup_cpus < static_cast<double>(m.threads.value))
    m.threads = {std::max<int64_t>(1, static_cast<int64_t>(m.cgroup_cpus)),
                 rt::format("cgroup CPU quota {:.2f}", m.cgroup_cpus)};

  m.usable_memory_bytes = {meminfo_bytes("MemAvailable"), ""};
  m.usable_memory_bytes.reason = gib(static_cast<double>(m.usable_memory_bytes.value)) + " of memory available";
  if (const double limit = cgroup_memory(); limit > 0 && limit < static_cast<double>(m.usable_memory_bytes.value))
    m.usable_memory_bytes = {static_cast<int64_t>(limit), "cgroup memory limit " + gib(limit)};
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
      static_cast<double>(limit.rlim_cur) < static_cast<double>(m.usable_memory_bytes.value))
    m.usable_memory_bytes = {static_cast<int64_t>(limit.rlim_cur),
                             "address-space limit " + gib(static_cast<double>(limit.rlim_cur)) + " (ulimit -v)"};
  return m;
}

int g_threads = 0;

}  // namespace

const Machine& machine() {
  static const Machine m = probe();
  return m;
}

int64_t peak_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

int threads_in_use() { return g_threads > 0 ? g_threads : static_cast<int>(machine().threads.value); }

void set_threads(int threads) {
  RT_CHECK(threads >= 1 && threads <= 1024, "threads must be between 1 and 1024, not {}", threads);
  g_threads = threads;
  omp_set_dynamic(0);
  omp_set_num_threads(threads);
  auto is_set = [](const char* name) { return std::getenv(name) != nullptr; };
  if (is_set("OMP_PROC_BIND") || is_set("OMP_PLACES") || is_set("GOMP_CPU_AFFINITY") || machine().cgroup_cpus > 0)
    return;
  static const std::vector<int> cpus = [] {
    std::vector<int> first, siblings;  // one CPU of each core before any core's second
    std::set<std::string> cores;
    cpu_set_t mask;
    if (sched_getaffinity(0, sizeof mask, &mask) == 0)
      for (int i = 0; i < CPU_SETSIZE; ++i)
        if (CPU_ISSET(i, &mask)) (cores.insert(core_of(i)).second ? first : siblings).push_back(i);
    first.insert(first.end(), siblings.begin(), siblings.end());
    return first;
  }();
  if (threads > static_cast<int>(cpus.size())) return;
    // Worker threads only: pinning the main thread would hand its one-CPU mask to every thread created later.
#pragma omp parallel num_threads(threads)
  if (const int id = omp_get_thread_num(); id > 0) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpus[static_cast<size_t>(id)], &one);
    sched_setaffinity(0, sizeof one, &one);
  }
}

}  // namespace rt
