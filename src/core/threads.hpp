// The threads of the kernels: how many there are, where they run, and how they wait for one another.
// They are OpenMP's. By default its threads wait for each other in a loop, for milliseconds, and take the processor
// from every other program meanwhile; in a program that calls limit_waiting() they leave the processor after
// microseconds.
#pragma once
#include <span>
#include <vector>

namespace rt {

// Threads of all parallel regions from now on, 1 to 1024. pin: each worker gets one CPU of process_cpus() for itself,
// physical cores first. The calling thread stays free, since threads that it makes later inherit its CPUs. Pinning is
// left out, with a warning, where OMP_PROC_BIND, OMP_PLACES or GOMP_CPU_AFFINITY is set, or threads outnumber the CPUs.
void set_threads(int threads, bool pin = false);
int threads_in_use();

// CPUs that this process may run on, in rising order; empty where the system does not say.
std::vector<int> process_cpus();
void run_on(std::span<const int> cpus);  // lets the calling thread run on these alone

// Call it first of all in main(). OpenMP reads the environment when it is loaded, before main: where
// waiting_variables() asks for some, they are set and the program starts itself anew, with the same words, in a
// millisecond or two. Where that cannot be (no /proc, an emulator, started by hand through the dynamic loader), it goes
// on as it is.
void limit_waiting(char** argv);

struct Variable {
  const char *name, *value;
};
// What is to be added to this environment, a list of NAME=VALUE that ends with null. Nothing where the user has decided
// how threads wait: OMP_WAIT_POLICY, GOMP_SPINCOUNT or KMP_BLOCKTIME is there.
std::span<const Variable> waiting_variables(const char* const* environment);

}  // namespace rt
