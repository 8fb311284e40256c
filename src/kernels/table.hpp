// Every implementation of every step, best first within a kind and a device, the reference last: the operators' tables
// joined (X/X_table.cpp, written with kernels/rows.hpp). Rows, their refusals and kernels/defaults.hpp are all that
// chooses by instruction set or compute capability.
#pragma once
#include <span>

#include "core/step.hpp"

namespace rt {

std::span<const Row> kernel_table();

}  // namespace rt
