// What a device says of itself is not proof: the last check computes with it, once through cuDNN and once through
// cuBLAS and a kernel of ours, on numbers whose results are known.
#include "tools/doctor.hpp"

#include <algorithm>
#include <cmath>

#include "core/cuda.hpp"
#include "core/device.hpp"
#include "core/format.hpp"
#include "core/tape.hpp"
#include "kernels/conv2d/conv2d.hpp"
#include "kernels/defaults.hpp"
#include "kernels/linear/linear.hpp"
#include "kernels/table.hpp"
#include "tools/verbs.hpp"

namespace rt {
namespace {

constexpr double gib = 1 << 30;

Finding good(const std::string& what, const std::string& detail) {
  return {.ok = true, .what = what, .detail = detail, .advice = ""};
}
Finding bad(const std::string& what, const std::string& detail, const std::string& advice) {
  return {.ok = false, .what = what, .detail = detail, .advice = advice};
}

Finding driver_finding(const cuda::Support& s) {
  const std::string oldest = s.runtime >= 13000 ? "580" : s.runtime >= 12000 ? "525" : "450";
  const std::string newest = *std::min_element(s.architectures.begin(), s.architectures.end()) < 75
                                 ? ", and for a card below 7.5 no later branch than 580"
                                 : "";
  const std::string in_a_container = "in a container, start it with access to the GPU (docker run --gpus all)";
  const std::string install =
      rt::format("install NVIDIA's driver, version {} or newer{}; {}", oldest, newest, in_a_container);
  if (s.driver == 0) return bad("NVIDIA driver", "none", install);
  const std::string detail = rt::format("serves CUDA up to {}", dotted(s.driver));
  return s.driver / 1000 >= s.runtime / 1000 ? good("NVIDIA driver", detail) : bad("NVIDIA driver", detail, install);
}

// A tensor of ones on the device.
struct Ones {
  explicit Ones(const Shape& shape) : spec{shape}, memory(spec.bytes(), Device::cuda) {
    const std::vector<float> ones(static_cast<size_t>(shape.numel()), 1.0f);
    write_to({spec, memory.data()}, Device::cuda, ones.data());
  }
  View view() const { return {spec, memory.data()}; }
  Spec spec;
  Storage memory;
};

void expect(const char* what, float got, float want) {
  if (!(std::abs(got - want) <= 1e-3f * want))  // Winograd's transforms round
    fail(ExitCode::device, "{} gives {} in place of {}", what, got, want);
}

void compute() {
  const Ones x({2, 8, 5, 5}), w({8, 8, 3, 3}), rows({4, 16}), weight({8, 16}), bias({8});
  Tape tape(Tape::Mode::eager, kernel_table(), cuda_target());
  const Var y = conv2d(tape, tape.external(x.view(), "x"), tape.external(w.view(), "w"), {.stride = 1, .pad = 1});
  const Var z = linear(tape, tape.external(rows.view(), "rows"), tape.external(weight.view(), "weight"),
                       tape.external(bias.view(), "bias"));
  const Tensor image = read_back(tape.view(y), Device::cuda), logits = read_back(tape.view(z), Device::cuda);
  expect("a convolution's corner", image.as<float>()[0], 4 * 8);
  expect("a convolution's middle", image.as<float>()[12], 9 * 8);
  expect("a matrix product with a bias", logits.as<float>()[31], 17);
}

void examine_cuda(std::vector<Finding>& found) {
  const cuda::Support& s = cuda::support();
  std::string compiled;
  for (int a : s.architectures) compiled += (compiled.empty() ? "" : ", ") + capability_text(a);
  found.push_back(
      good("CUDA in this build", rt::format("{}, compiled for {}, cuDNN {}, cuBLAS {}", dotted(s.runtime), compiled,
                                            library_version(s.cudnn), library_version(s.cublas))));
  found.push_back(driver_finding(s));
  if (s.devices.empty()) {
    if (found.back().ok)
      found.push_back(
          bad("GPU", s.problem,
              "see that nvidia-smi lists the card; CUDA_VISIBLE_DEVICES hides all when it is set to nothing"));
    return;
  }
  int chosen = -1;
  for (const cuda::DeviceInfo& d : s.devices) {
    const std::string detail = rt::format("{}, compute capability {}, {:.1f} GiB", d.name,
                                          capability_text(d.capability), static_cast<double>(d.total_bytes) / gib);
    const std::string what = rt::format("GPU {}", d.index);
    found.push_back(d.problem.empty() ? good(what, detail) : bad(what, detail, d.problem));
    if (chosen < 0 && d.problem.empty()) chosen = d.index;
  }
  if (chosen < 0) return;
  try {
    cuda::use(chosen);
    const ComputeDefaults d = compute_defaults(cuda_target());
    found.push_back(good("chosen by itself", rt::format("{} ({}), layout {} ({})", name_of(d.precision),
                                                        d.precision_reason, name_of(d.layout), d.layout_reason)));
    compute();
    found.push_back(
        good("computing", rt::format("cuDNN, cuBLAS and a kernel give the right numbers on GPU {}, {:.1f} GiB free",
                                     chosen, static_cast<double>(cuda::free_bytes()) / gib)));
  } catch (const Error& e) {
    found.push_back(
        bad("computing", e.what(),
            e.code() == ExitCode::usage
                ? ""
                : "if other programs use the GPU, try again without them; else reinstall the driver and cuDNN"));
  }
}

}  // namespace

std::string dotted(int version) { return rt::format("{}.{}", version / 1000, version % 1000 / 10); }
std::string library_version(int version) {
  const int unit = version >= 10000 ? 10000 : 1000;  // cuDNN counted in thousands until 8
  return rt::format("{}.{}.{}", version / unit, version % unit / 100, version % 100);
}

std::vector<Finding> examine() {
  const Machine& m = machine();
  std::vector<Finding> found{
      good("CPU", rt::format("{}, {} ({})", m.cpu_model, name_of(m.isa), m.isa_reason)),
      good("threads", rt::format("{} ({})", m.threads.value, m.threads.reason)),
      good("memory", rt::format("{:.1f} GiB usable ({})", static_cast<double>(m.usable_memory_bytes.value) / gib,
                                m.usable_memory_bytes.reason))};
  if (cuda::support().architectures.empty())
    found.push_back({.ok = true,
                     .what = "CUDA in this build",
                     .detail = "none: it computes on the CPU",
                     .advice = cuda::support().problem});
  else
    examine_cuda(found);
  return found;
}

namespace {

int run() {
  const std::vector<Finding> found = examine();
  for (const Finding& f : found) {
    rt::print("{}  {}: {}\n", f.ok ? "ok  " : "FAIL", f.what, f.detail);
    if (!f.advice.empty()) rt::print("      {}\n", f.advice);
  }
  const cuda::Support& s = cuda::support();
  const bool computes = found.back().ok && s.problem.empty();  // one GPU that works is enough
  if (s.architectures.empty() || computes) {
    rt::print("rtrain can train on {}.\n", s.architectures.empty() ? "the CPU" : "the GPU");
    return 0;
  }
  rt::print("rtrain cannot use a GPU here{}{}; device=cpu works.\n", s.problem.empty() ? "" : ": ", s.problem);
  return static_cast<int>(ExitCode::device);
}

}  // namespace

const Verb doctor_verb = {
    .name = "doctor",
    .help = R"(Check one by one what training here needs, and say what to install.

Exit code 4 where a GPU was meant to be used and cannot be.)",
    .add = [](CLI::App&) -> std::function<int()> { return run; },
};

}  // namespace rt
