#include "kernels/defaults.hpp"

#include "core/cuda.hpp"

namespace rt {

ComputeDefaults compute_defaults(const Target& target) {
  if (target.device == Device::cpu)
    return {
        Layout::nhwc, DType::f32, "NHWC is what the CPU kernels prefer",
        target.capability >= isa_amx
            ? "what the CPU kernels compute in; bf16 takes less memory and, on this CPU and in large batches, less time"
            : "what the CPU kernels compute in; bf16 stores activations in half the memory"};
  const std::string sm = capability_text(target.capability);
  if (target.capability < 70)
    return {Layout::nchw, DType::f32, "compute capability " + sm + " has no tensor cores, for which NHWC is",
            "compute capability " + sm + " computes in f16 at a 64th of the rate of f32"};
  const bool bf16 = target.capability >= 80;
  return {Layout::nhwc, bf16 ? DType::bf16 : DType::f16, "the order of tensor cores",
          rt::format("tensor cores of compute capability {} take {}", sm, bf16 ? "it, with the range of f32" : "f16")};
}

}  // namespace rt
