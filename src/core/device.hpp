// What this process may use: instruction set, threads, memory. Probed once; every figure keeps the reason it has the
// value it has, because `auto` settings show that reason to the user.
#pragma once
#include <cstdint>
#include <string>

#include "core/threads.hpp"

namespace rt {

enum class Device : uint8_t { cpu, cuda };
const char* name_of(Device device);

// Capability of a device: the CPU's instruction set below, or a CUDA compute capability as 61, 90.
enum Isa : int {
  isa_scalar = 0,  // the compiler's baseline for the architecture: SSE2 on x86-64, NEON on 64-bit Arm
  isa_avx2 = 1,
  isa_avx512 = 2,
  isa_avx512_bf16 = 3,  // and products of bf16
  isa_amx = 4           // and matrix products of bf16 in tiles
};
const char* name_of(Isa isa);  // scalar, or neon on Arm; avx2, avx512, avx512_bf16, amx

struct Count {
  int64_t value;
  std::string reason;  // "2 physical cores", "1 CPU in the affinity mask", "cgroup memory limit 1.0 GiB"
};

struct Machine {
  std::string cpu_model;   // with family, model and stepping, where the kernel says them
  Isa isa;                 // what the kernels may use (RT_FORCE_ISA applied)
  std::string isa_reason;  // "found", or "RT_FORCE_ISA=avx2"
  int physical_cores;
  int logical_cpus;    // online
  int affinity_cpus;   // in this process's affinity mask
  double cgroup_cpus;  // CPU quota in CPUs; 0 without one
  Count threads;       // what OMP_NUM_THREADS says, or physical cores; within affinity mask and quota, at least 1
  Count usable_memory_bytes;  // min(available memory, cgroup limit, address-space limit)
};

// The first call probes; throws Error(usage) if RT_FORCE_ISA names an instruction set that is unknown or not there.
const Machine& machine();

int64_t peak_resident_bytes();  // of this process so far

}  // namespace rt
