// From `device` in the configuration to a device in use, and a target for the selection table. A device that was asked
// for and cannot be used is an error; only `auto` falls back to the CPU, and says why.
#pragma once
#include <string>

#include "core/step.hpp"

namespace rt {

struct DeviceChoice {
  Device device = Device::cpu;
  std::string name = "cpu";  // "cpu", "cuda:0"
  std::string reason = "asked for";
  Target target = cpu_target();
  Count memory = machine().usable_memory_bytes;  // for training
};

bool is_device_name(const std::string& text);  // auto, cpu, cuda, cuda:N
// Why the device does not compute in it; "" where it does.
std::string precision_problem(const Target& target, DType precision);
// wanted: a device's name. where: who asks, for the error. On CUDA the device is in use from now on.
DeviceChoice choose_device(const std::string& wanted, const std::string& where);

}  // namespace rt
