// Convolutions on CUDA: which of cuDNN's algorithms computes each. The first time a convolution runs, every algorithm that is
// admitted is timed on the step's own numbers (zeros would flatter it, memory of its own would be twice the step's; the output
// is written anew anyway) and the fastest is kept for good. How much workspace the winner may need is known before that, to a
// plan as the largest among the admitted.
#include <algorithm>
#include <array>

#include "core/cuda.hpp"
#include "core/log.hpp"
#include "kernels/cudnn_choices.hpp"

namespace rt::cudnn {
namespace {

constexpr size_t mib = size_t{1} << 20;
constexpr int repeats = 3;

const cuda::DeviceInfo& device() { return cuda::support().devices.at(static_cast<size_t>(cuda::device_in_use())); }

size_t most_workspace() { return std::clamp(device().total_bytes / 32, 64 * mib, 1024 * mib); }

// In half precision no transforms: Winograd's and Fourier's round in that type, to 2e-3 and more.
bool transforms_in_half(const Convolution& c, const Algorithm& a) {
  auto named = [&](const char* part) { return a.name.find(part) != std::string::npos; };
  return c.dtype != DType::f32 && (named("WINOGRAD") || named("FFT"));
}

std::vector<Algorithm> admitted(const Convolution& c) {
  std::vector<Algorithm> list;
  for (const Algorithm& a : algorithms(c))
    if (a.workspace_bytes <= most_workspace() && (a.deterministic || !choices().deterministic) &&
        !transforms_in_half(c, a))
      list.push_back(a);
  return list;
}

std::string refusal(const Convolution& c) {
  if (!admitted(c).empty()) return "";
  return rt::format("cuDNN {} has no{} algorithm for {} within {} MiB of workspace", version(),
                    choices().deterministic ? " deterministic" : "", describe(c), most_workspace() / mib);
}

size_t largest_workspace(const Convolution& c) {
  size_t bytes = 0;
  for (const Algorithm& a : admitted(c)) bytes = std::max(bytes, a.workspace_bytes);
  return bytes;
}

struct Timed {
  Algorithm algorithm;
  double ms;
};

// Fastest first. An algorithm that does not run is left out: some are offered and then refuse a shape.
std::vector<Timed> time_all(const Convolution& c, const std::vector<Algorithm>& list, const Args& a) {
  const Operands operands{a.in[0].data, a.in[1].data, a.out[0].data, a.workspace, largest_workspace(c)};
  std::vector<Timed> timed;
  for (const Algorithm& algorithm : list) {
    try {
      double best =
          run_timed(c, algorithm.id, operands, a.stream);  // loads code too: not counted unless it is the best
      for (int i = 0; i < repeats; ++i) best = std::min(best, run_timed(c, algorithm.id, operands, a.stream));
      timed.push_back({algorithm, best});
    } catch (const Error& e) {
      log_warning("cuDNN {} passed over for {}: {}", algorithm.name, describe(c), e.what());
    }
  }
  std::stable_sort(timed.begin(), timed.end(), [](const Timed& x, const Timed& y) { return x.ms < y.ms; });
  return timed;
}

Algorithm fastest(const Convolution& c, const std::vector<Algorithm>& list, const Args& a) {
  if (list.size() == 1) return list[0];
  const std::vector<Timed> timed = time_all(c, list, a);
  if (timed.empty()) fail(ExitCode::device, "cuDNN: no algorithm could compute {}", describe(c));
  const Timed& best = timed[0];
  log_detail("cuDNN: {} by {}, {:.3f} ms, workspace {:.1f} MiB{}", describe(c), best.algorithm.name, best.ms,
             static_cast<double>(best.algorithm.workspace_bytes) / mib,
             timed.size() > 1 ? rt::format("; next {}, {:.3f} ms", timed[1].algorithm.name, timed[1].ms) : "");
  return best.algorithm;
}

const Algorithm& choose(const Convolution& c, const Args& a) {
  ConvChoices& known = choices();
  if (const auto it = known.settled.find(c); it != known.settled.end()) return it->second;
  const std::vector<Algorithm> list = admitted(c);
  const std::string key = key_of(c, known.deterministic, device().name, version());
  const Algorithm* chosen = nullptr;
  for (const ChoiceFile* file : {&known.run, &known.cache})
    if (const std::optional<std::string> id = file->find(key); id && !chosen)
      for (const Algorithm& algorithm : list)
        if (std::to_string(algorithm.id) == *id) chosen = &algorithm;
  const Algorithm settled = chosen ? *chosen : fastest(c, list, a);
  known.run.remember(key, std::to_string(settled.id));
  if (!chosen) known.cache.remember(key, std::to_string(settled.id));
  return known.settled.emplace(c, settled).first->second;
}

// Where x and w stand in a step differs by pass: x w -> y, dy w -> dx, dy x -> dw.
template <class Specs>
Convolution convolution(Pass pass, bool graph, const Op* op, const Specs& in, const Specs& out) {
  const Spec& x = pass == Pass::forward ? in[0] : pass == Pass::dx ? out[0] : in[1];
  const Spec& w = pass == Pass::dw ? out[0] : in[1];
  return {pass, conv2d_shape(op, x, w), x.dtype, x.layout, graph};
}
Convolution convolution(Pass pass, bool graph, const Problem& p) { return convolution(pass, graph, p.op, p.in, p.out); }
Convolution convolution(Pass pass, bool graph, const Args& a) {
  const std::array<Spec, 2> in{a.in[0].spec, a.in[1].spec}, out{a.out[0].spec, {}};
  return convolution(pass, graph, a.op, in, out);
}

void compute(const Convolution& c, const Args& a) {
  const Algorithm& algorithm = choose(c, a);
  run(c, algorithm.id, {a.in[0].data, a.in[1].data, a.out[0].data, a.workspace, algorithm.workspace_bytes}, a.stream);
}

}  // namespace
}  // namespace rt::cudnn

namespace rt::cuda {
using cudnn::Pass;

#define DEFINE(pass)                                                                              \
  template <bool graph>                                                                           \
  void conv2d_##pass(const Args& a) {                                                             \
    cudnn::compute(cudnn::convolution(Pass::pass, graph, a), a);                                  \
  }                                                                                               \
  template <bool graph>                                                                           \
  size_t conv2d_##pass##_workspace(const Problem& p) {                                            \
    return cudnn::largest_workspace(cudnn::convolution(Pass::pass, graph, p));                    \
  }                                                                                               \
  template <bool graph>                                                                           \
  std::string refuse_conv2d_##pass(const Problem& p) {                                            \
    for (const Spec& spec : {p.in[1], p.out[0]})                                                  \
      if (spec.layout != p.in[0].layout || spec.dtype != p.in[0].dtype)                           \
        return rt::format("needs one type and layout, not {} and {}", p.in[0].str(), spec.str()); \
    return cudnn::refusal(cudnn::convolution(Pass::pass, graph, p));                              \
  }                                                                                               \
  template void conv2d_##pass<false>(const Args&);                                                \
  template void conv2d_##pass<true>(const Args&);                                                 \
  template size_t conv2d_##pass##_workspace<false>(const Problem&);                               \
  template size_t conv2d_##pass##_workspace<true>(const Problem&);                                \
  template std::string refuse_conv2d_##pass<false>(const Problem&);                               \
  template std::string refuse_conv2d_##pass<true>(const Problem&);
DEFINE(forward)
DEFINE(dx)
DEFINE(dw)

}  // namespace rt::cuda
