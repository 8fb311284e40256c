// What a process may use, as the kernel's files say it: CPUs that share a core, quotas of both versions of cgroups, the
// name of the CPU. Each machine here is a folder that looks like one's /proc and /sys. What RT_FORCE_ISA does is in
// check_info.py.
#include <doctest/doctest.h>

#include "core/probe.hpp"
#include "tests/support/temp_folder.hpp"

using namespace rt;

namespace {

struct FakeMachine {
  TempFolder root;
  int online = 0;

  // CPU i is of core i % cores, as Linux numbers hyper-threads.
  explicit FakeMachine(int cpus, int cores, const std::string& cgroups = "0::/\n") : online(cpus) {
    for (int cpu = 0; cpu < cpus; ++cpu) {
      const std::string topology = "sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
      root.write(topology + "core_id", std::to_string(cpu % cores) + "\n");
      root.write(topology + "physical_package_id", "0\n");
    }
    root.write("proc/self/cgroup", cgroups);
  }
  Machine with(const std::vector<int>& affinity, const char* omp_num_threads = nullptr) const {
    Machine m{};
    m.logical_cpus = online;
    probe::limit_threads(m, root.path, affinity, omp_num_threads);
    return m;
  }
  Machine with_all(const char* omp_num_threads = nullptr) const {
    std::vector<int> cpus;
    for (int cpu = 0; cpu < online; ++cpu) cpus.push_back(cpu);
    return with(cpus, omp_num_threads);
  }
};

}  // namespace

TEST_CASE("probe: two hyper-threads of a core are one thread's worth, and the affinity mask counts") {
  const FakeMachine machine(8, 4);
  CHECK(machine.with_all().threads.value == 4);
  CHECK(machine.with_all().threads.reason == "4 physical cores");
  CHECK(machine.with({0, 4}).threads.value == 1);  // both of core 0
  CHECK(machine.with({0, 4}).threads.reason == "1 physical core among 2 of 8 CPUs in the affinity mask");
  CHECK(machine.with({0, 1, 5}).threads.value == 2);
  CHECK(machine.with({3}).affinity_cpus == 1);
  const FakeMachine silent(0, 1);  // no topology: each CPU is a core
  CHECK(silent.with({0, 1, 2}).threads.value == 3);
}

TEST_CASE("probe: OMP_NUM_THREADS is the number of threads, as far as there are CPUs and quota for them") {
  FakeMachine machine(8, 4);
  CHECK(machine.with_all("3").threads.value == 3);
  CHECK(machine.with_all("3").threads.reason == "OMP_NUM_THREADS=3");
  CHECK(machine.with_all("6").threads.value == 6);  // more than cores: somebody who wants hyper-threads gets them
  CHECK(machine.with_all(" 2 , 4").threads.reason == "OMP_NUM_THREADS=2");
  CHECK(machine.with_all("64").threads.value == 8);
  CHECK(machine.with_all("64").threads.reason == "OMP_NUM_THREADS=64 on 8 CPUs");
  CHECK(machine.with({5}, "2").threads.value == 1);
  CHECK(machine.with({5}, "2").threads.reason == "OMP_NUM_THREADS=2 on 1 CPU");
  for (const char* nonsense : {"", "abc", "0", "-2", "3x", "99999999999999999999999"}) {
    CAPTURE(nonsense);
    CHECK(machine.with_all(nonsense).threads.reason.find("OMP_NUM_THREADS") == std::string::npos);
  }
  machine.root.write("sys/fs/cgroup/cpu.max", "250000 100000\n");
  CHECK(machine.with_all("3").threads.value == 2);
  CHECK(machine.with_all("3").threads.reason == "cgroup CPU quota 2.50");
  CHECK(machine.with_all("1").threads.reason == "OMP_NUM_THREADS=1");
}

TEST_CASE("probe: a CPU quota of cgroups version 2 counts, the tightest on the way to the root, rounded down") {
  FakeMachine machine(8, 8, "0::/user/job\n");
  machine.root.write("sys/fs/cgroup/user/job/cpu.max", "max 100000\n");
  CHECK(machine.with_all().threads.value == 8);
  CHECK(machine.with_all().cgroup_cpus == 0);
  machine.root.write("sys/fs/cgroup/user/cpu.max", "250000 100000\n");
  CHECK(machine.with_all().threads.value == 2);
  CHECK(machine.with_all().threads.reason == "cgroup CPU quota 2.50");
  machine.root.write("sys/fs/cgroup/user/job/cpu.max", "50000 100000\n");
  CHECK(machine.with_all().threads.value == 1);  // half a CPU is one thread
  machine.root.write("sys/fs/cgroup/user/job/cpu.max", "1600000 100000\n");
  CHECK(machine.with({0}).threads.value == 1);  // the mask is tighter
}

TEST_CASE("probe: a CPU quota of cgroups version 1 counts, in a container as well") {
  FakeMachine machine(4, 4, "5:memory:/job\n4:cpu,cpuacct:/job\n0::/\n");
  machine.root.write("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "-1\n");
  machine.root.write("sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n");
  CHECK(machine.with_all().threads.value == 4);
  machine.root.write("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "150000\n");
  machine.root.write("sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "50000\n");
  CHECK(machine.with_all().cgroup_cpus == 3);
  CHECK(machine.with_all().threads.value == 3);
  machine.root.write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "1073741824\n");
  CHECK(probe::cgroup_memory(machine.root.path) == 1 << 30);

  // The path is the host's; the container's own group is mounted as the root.
  FakeMachine container(4, 4, "4:cpu,cpuacct:/docker/0123\n");
  container.root.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n");
  container.root.write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  CHECK(container.with_all().threads.value == 2);
}

TEST_CASE("probe: the name of a CPU tells generations apart that share a marketing name") {
  const FakeMachine machine(1, 1);
  auto named = [&](const std::string& cpuinfo) {
    machine.root.write("proc/cpuinfo", cpuinfo);
    return probe::cpu_model(machine.root.path);
  };
  CHECK(named("processor\t: 0\ncpu family\t: 25\nmodel\t\t: 1\nmodel name\t: AMD EPYC\nstepping\t: 1\n\n"
              "processor\t: 1\ncpu family\t: 99\n") == "AMD EPYC (family 25, model 1, stepping 1)");
  CHECK(named("model name\t: Something\n") == "Something");
  CHECK(named("CPU implementer\t: 0x41\nCPU part\t: 0xd40\n") == "Arm CPU, implementer 0x41, part 0xd40");
  CHECK(named("") == "unknown CPU");
}
