#include "core/probe.hpp"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <map>
#include <set>
#include <sstream>

#include "core/check.hpp"

namespace rt::probe {
namespace {

std::string read_line(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

// The tightest value of a cgroup file on the paths from this process's groups, v1's and v2's, to their roots.
template <class Parse>
double tightest(const std::string& root, const char* v2_file, const char* v1_controller, const char* v1_file,
                Parse parse) {
  double best = 0;
  auto consider = [&](const std::string& folder, const char* file) {
    const double value = parse(folder, read_line(folder + "/" + file));
    if (value > 0 && (best == 0 || value < best)) best = value;
  };
  auto walk = [&](const std::string& mount, std::string path, const char* file) {
    for (;;) {
      consider(root + mount + path, file);
      if (path.empty() || path == "/") break;
      path.erase(path.find_last_of('/'));
    }
  };
  std::ifstream groups(root + "/proc/self/cgroup");
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

std::string counted(int count, const char* thing) { return rt::format("{} {}{}", count, thing, count == 1 ? "" : "s"); }

// Of "4", and of "4,2" for nested regions; 0 where there is none.
int64_t first_number(const char* text) {
  if (text == nullptr) return 0;
  char* end = nullptr;
  const int64_t number = std::strtoll(text, &end, 10);
  while (std::isspace(static_cast<unsigned char>(*end)) != 0) ++end;
  const bool ends_well = end != text && (*end == '\0' || *end == ',');
  return ends_well && number <= std::numeric_limits<int>::max() ? number : 0;
}

}  // namespace

std::string core_of(const std::string& root, int cpu) {
  const std::string topology = rt::format("{}/sys/devices/system/cpu/cpu{}/topology/", root, cpu);
  const std::string core = read_line(topology + "core_id");
  return core.empty() ? rt::format("cpu{}", cpu) : read_line(topology + "physical_package_id") + "/" + core;
}

double cgroup_cpus(const std::string& root) {
  return tightest(root, "cpu.max", "cpu", "cpu.cfs_quota_us", [](const std::string& folder, const std::string& line) {
    std::istringstream in(line);
    double quota = 0, period = 0;
    if (!(in >> quota) || quota <= 0) return 0.0;  // "max" and -1 mean no limit
    if (!(in >> period)) std::istringstream(read_line(folder + "/cpu.cfs_period_us")) >> period;
    return period > 0 ? quota / period : 0.0;
  });
}

double cgroup_memory(const std::string& root) {
  return tightest(root, "memory.max", "memory", "memory.limit_in_bytes",
                  [](const std::string&, const std::string& line) {
                    std::istringstream in(line);
                    double bytes = 0;
                    return (in >> bytes) && bytes < 1e18 ? bytes : 0.0;
                  });
}

int64_t meminfo_bytes(const std::string& root, const char* key) {
  std::ifstream in(root + "/proc/meminfo");
  for (std::string line; std::getline(in, line);)
    if (line.rfind(key, 0) == 0) return std::strtoll(line.c_str() + std::string(key).size() + 1, nullptr, 10) * 1024;
  return 0;
}

std::string cpu_model(const std::string& root) {
  std::ifstream info(root + "/proc/cpuinfo");
  std::map<std::string, std::string> first;  // the lines of its first processor
  for (std::string line; std::getline(info, line);)
    if (const size_t colon = line.find(": "); colon != std::string::npos)
      first.try_emplace(line.substr(0, line.find_first_of("\t:")), line.substr(colon + 2));
  if (!first["CPU part"].empty())  // all that Arm's kernels say, in hexadecimal
    return rt::format("Arm CPU, implementer {}, part {}", first["CPU implementer"], first["CPU part"]);
  if (first["model name"].empty()) return "unknown CPU";
  if (first["cpu family"].empty()) return first["model name"];
  return rt::format("{} (family {}, model {}, stepping {})", first["model name"], first["cpu family"], first["model"],
                    first["stepping"]);
}

void limit_threads(Machine& m, const std::string& root, const std::vector<int>& cpus, const char* omp_num_threads) {
  std::set<std::string> cores;
  for (const int cpu : cpus) cores.insert(core_of(root, cpu));
  m.affinity_cpus = static_cast<int>(cpus.size());
  m.physical_cores = static_cast<int>(cores.size());
  m.cgroup_cpus = cgroup_cpus(root);
  const std::string of_mask = m.affinity_cpus < m.logical_cpus ? rt::format(" among {} of {} CPUs in the affinity mask",
                                                                            m.affinity_cpus, m.logical_cpus)
                                                               : "";
  m.threads = {m.physical_cores, counted(m.physical_cores, "physical core") + of_mask};
  if (const int64_t wanted = first_number(omp_num_threads); wanted > 0) {
    m.threads = {wanted, rt::format("OMP_NUM_THREADS={}", wanted)};
    if (wanted > m.affinity_cpus)
      m.threads = {m.affinity_cpus, rt::format("OMP_NUM_THREADS={} on {}", wanted, counted(m.affinity_cpus, "CPU"))};
  }
  if (m.cgroup_cpus > 0 && m.cgroup_cpus < static_cast<double>(m.threads.value))
    m.threads = {std::max<int64_t>(1, static_cast<int64_t>(m.cgroup_cpus)),
                 rt::format("cgroup CPU quota {:.2f}", m.cgroup_cpus)};
}

}  // namespace rt::probe
