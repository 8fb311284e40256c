// What the kernel's files say of this machine and of the limits that this process has. `root` stands before every path:
// "" is the machine's own; tests give folders that look like others.
#pragma once
#include <string>
#include <vector>

#include "core/device.hpp"

namespace rt::probe {

// "AMD EPYC (family 25, model 1, stepping 1)": many CPUs share a name.
std::string cpu_model(const std::string& root);
// "package/core" of a CPU; a name of its own where the kernel does not say.
std::string core_of(const std::string& root, int cpu);
// The tightest limit of this process's cgroups and those above them, version 1 or 2; 0 where there is none.
double cgroup_cpus(const std::string& root);
double cgroup_memory(const std::string& root);
int64_t meminfo_bytes(const std::string& root, const char* key);

// Fills in what a process that may run on `cpus` has: affinity_cpus, physical_cores, cgroup_cpus and threads.
// m.logical_cpus must be known.
// omp_num_threads: that variable's value, or null; the first number of a list counts, and what is no number does not.
void limit_threads(Machine& m, const std::string& root, const std::vector<int>& cpus, const char* omp_num_threads);

}  // namespace rt::probe
