// A CUDA step done by the CPU's reference: copied to the host, computed, copied back. It is the oracle of the start-up
// self-test, and the last row of every kind, for where that test refused all others. Slow, and it waits for the device.
#pragma once
#include "core/step.hpp"

namespace rt {

// The reference on host memory, in a workspace of its own.
void run_on_host(void (*reference)(const Args&), size_t (*workspace)(const Problem&), const Args& host);

namespace cuda {
void through_the_host(void (*reference)(const Args&), size_t (*workspace)(const Problem&), const Args& a);

template <void (*reference)(const Args&), size_t (*workspace)(const Problem&) = nullptr>
void via_cpu(const Args& a) {
  through_the_host(reference, workspace, a);
}
}  // namespace cuda

}  // namespace rt
