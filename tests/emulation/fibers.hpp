// Runs an emulated kernel (emulation/fibers.cpp).
#pragma once
#include <functional>

#include "emulation/device.hpp"

namespace rt::emulation {

// To its end: blocks one after the other, forwards or backwards, the threads of each in random order. Throws where the
// launch is one that a device would refuse, or where some threads wait at a barrier and others in a shuffle.
void run_kernel(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& kernel);

}  // namespace rt::emulation
