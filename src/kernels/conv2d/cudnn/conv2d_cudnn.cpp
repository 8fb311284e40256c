// Convolutions on CUDA: which of cuDNN's algorithms computes each. The first time a convolution runs, every algorithm
// that is admitted is timed on the step's own numbers (zeros would flatter it, memory of its own would be twice the
// step's; the output is written anew anyway) and the fastest is kept for good. How much workspace the winner may need
// is known before that, to a plan as the largest among the admitted.
#include <algorithm>
#include <array>
#include <functional>
#include <limits>

#include "core/cuda.hpp"
#include "core/divide.hpp"
#include "core/log.hpp"
#include "kernels/batch_norm/batch_norm.hpp"
#include "kernels/conv2d/cudnn/cudnn_choices.hpp"

namespace rt::cudnn {
namespace {

constexpr size_t mib = size_t{1} << 20;
constexpr int repeats = 3;

// Some that are offered take a hundred times as long as the best. What a first timing finds slower than this is not
// timed again; of what takes microseconds that timing also holds the launch.
double worth_repeating(double best_ms) { return 2 * best_ms + 0.2; }
int runs_per_timing(double ms) { return static_cast<int>(std::clamp(2 / ms, 1.0, 10.0)); }

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
        !transforms_in_half(c, a) && !is_refused(c, a.id))
      list.push_back(a);
  return list;
}

// The library counts elements in 32 bits, and says no more than that a parameter is bad. No other row would be of use
// to so many images, so this ends the program.
void check_size(const Convolution& c) {
  const Conv2dShape& s = c.shape;
  constexpr int64_t most = (int64_t{1} << 31) - 1;
  if (const int64_t image = std::max(s.c * s.h * s.w, s.k * s.p * s.q); image > most / s.n)
    fail(ExitCode::device, "{}: cuDNN takes values of less than 2^31 elements; the largest batch that fits here is {}",
         describe(c), most / image);
}

std::string refusal(const Convolution& c) {
  check_size(c);
  if (!admitted(c).empty()) return "";
  return rt::format("cuDNN {} has no{} algorithm for {} within {} MiB of workspace", version(),
                    choices().deterministic ? " deterministic" : "", describe(c), most_workspace() / mib);
}

size_t largest_workspace(const Convolution& c) {
  size_t bytes = 0;
  for (const Algorithm& a : admitted(c)) bytes = std::max(bytes, a.workspace_bytes);
  return bytes;
}

struct Candidate {
  Algorithm algorithm;
  std::function<void()> work;  // enqueues the step, computed by it
};
struct Timed {
  const Candidate* candidate;
  double ms;
};

// Fastest first, never none. Left out is what is slow, and what does not run: some are offered and then refuse a shape.
std::vector<Timed> time_all(const Convolution& c, const std::vector<Candidate>& list, void* stream) {
  auto ran = [&](Timed& t, int runs) {  // and took t.ms at least
    try {
      t.ms = std::min(t.ms, timed(t.candidate->work, runs, stream));
      return true;
    } catch (const Error& e) {
      log_warning("cuDNN {} passed over for {}: {}", t.candidate->algorithm.name, describe(c), e.what());
      return false;
    }
  };
  std::vector<Timed> once, times;
  double best = std::numeric_limits<double>::infinity();
  for (const Candidate& candidate : list)
    if (Timed t{&candidate, std::numeric_limits<double>::infinity()}; ran(t, 1)) {
      once.push_back(t);
      best = std::min(best, t.ms);
    }
  for (Timed t : once) {
    bool good = t.ms <= worth_repeating(best);
    for (int i = 0, runs = runs_per_timing(t.ms); good && i < repeats; ++i) good = ran(t, runs);
    if (good) times.push_back(t);
  }
  if (times.empty()) fail(ExitCode::device, "cuDNN: no algorithm could compute {}", describe(c));
  std::ranges::stable_sort(times, {}, &Timed::ms);
  return times;
}

Algorithm fastest(const Convolution& c, const std::vector<Candidate>& list, void* stream) {
  if (list.size() == 1) return list[0].algorithm;
  const std::vector<Timed> times = time_all(c, list, stream);
  const Algorithm& best = times[0].candidate->algorithm;
  log_detail(
      "cuDNN: {} by {}, {:.3f} ms, workspace {:.1f} MiB{}", describe(c), best.name, times[0].ms,
      static_cast<double>(best.workspace_bytes) / mib,
      times.size() > 1 ? rt::format("; next {}, {:.3f} ms", times[1].candidate->algorithm.name, times[1].ms) : "");
  return best;
}

const Algorithm& choose(const Convolution& c, const std::vector<Candidate>& list, void* stream) {
  ConvChoices& known = choices();
  const std::string key = key_of(c, known.deterministic, device().name, version());
  const Algorithm* chosen = nullptr;
  for (const ChoiceFile* file : {&known.run, &known.cache})
    if (const std::optional<std::string> id = file->find(key); id && !chosen)
      for (const Candidate& candidate : list)
        if (std::to_string(candidate.algorithm.id) == *id) chosen = &candidate.algorithm;
  const Algorithm settled = chosen ? *chosen : fastest(c, list, stream);
  known.run.remember(key, std::to_string(settled.id));
  if (!chosen) known.cache.remember(key, std::to_string(settled.id));
  return known.settled.emplace(c, settled).first->second;
}
const Algorithm* settled(const Convolution& c) {
  const auto it = choices().settled.find(c);
  return it == choices().settled.end() ? nullptr : &it->second;
}

// Where x and w stand in a step differs by pass: x w -> y, dy w -> dx, dy x -> dw.
template <class Specs>
Convolution convolution(Conv2dPass pass, bool graph, Ops ops, const Specs& in, const Specs& out) {
  const Spec& x = pass == Conv2dPass::forward ? in[0] : pass == Conv2dPass::dx ? out[0] : in[1];
  const Spec& w = pass == Conv2dPass::dw ? out[0] : in[1];
  return {pass, conv2d_shape(ops, x, w), x.dtype, x.layout, graph};
}
Convolution convolution(Conv2dPass pass, bool graph, const Problem& p) {
  return convolution(pass, graph, p.ops, p.in, p.out);
}
Convolution convolution(Conv2dPass pass, bool graph, const Args& a) {
  const std::array<Spec, 2> in{a.in[0].spec, a.in[1].spec}, out{a.out[0].spec, {}};
  return convolution(pass, graph, a.ops, in, out);
}

void compute(const Convolution& c, const Args& a) {
  auto by = [&](const Algorithm& algorithm) {
    run(c, algorithm.id, {a.in[0].data, a.in[1].data, a.out[0].data, a.workspace, algorithm.workspace_bytes}, a.stream);
  };
  const Algorithm* algorithm = settled(c);
  if (!algorithm) {
    std::vector<Candidate> list;
    for (const Algorithm& each : admitted(c)) list.push_back({each, [&by, each] { by(each); }});
    algorithm = &choose(c, list, a.stream);
  }
  choices().latest = c;
  by(*algorithm);
}

// A convolution and the statistics of its output: by an algorithm that sums as it writes, or apart, by the
// convolution's own best one and then by the kernel of batch_norm.stats. Time decides.
struct WithStats {
  Convolution fused, plain;
  size_t sums_bytes;  // of the workspace's begin; what else a candidate needs lies behind
  explicit WithStats(const Convolution& c) : fused(c), plain(c) {
    fused.stats = true;
    sums_bytes = round_up(2 * static_cast<size_t>(c.shape.k) * sizeof(float), 256);
  }
  static constexpr int apart = 999;  // its number among the algorithms: no library's

  size_t workspace(const Problem& p) const {
    const Problem stats{.kind = kinds::batch_norm_stats, .ops = p.ops, .in = p.out.first(1), .out = p.out.subspan(1)};
    return sums_bytes +
           std::max({largest_workspace(fused), largest_workspace(plain), cuda::batch_norm_workspace(stats)});
  }
  void compute(const Args& a) const {
    Args rest = a;
    rest.workspace = static_cast<char*>(a.workspace) + sums_bytes;
    const Args stats{.kind = kinds::batch_norm_stats,
                     .ops = a.ops,
                     .in = a.out.first(1),
                     .out = a.out.subspan(1),
                     .workspace = rest.workspace,
                     .stream = a.stream};
    auto by = [&](const Algorithm& algorithm) {
      if (algorithm.id == apart) {
        cudnn::compute(plain, rest);
        cuda::batch_norm_stats(stats);
        return;
      }
      auto* sums = static_cast<float*>(a.workspace);
      run(fused, algorithm.id,
          {a.in[0].data, a.in[1].data, a.out[0].data, rest.workspace, algorithm.workspace_bytes, sums}, a.stream);
      cuda::batch_norm_stats_of_sums(sums, stats);
    };
    struct Forget {  // the convolution that a candidate computes by is not what this step stands or falls with
      ~Forget() { choices().latest.reset(); }
    } forget;
    const Algorithm* algorithm = settled(fused);
    if (!algorithm) {
      std::vector<Candidate> list;
      for (const Algorithm& each : admitted(fused)) list.push_back({each, [&by, each] { by(each); }});
      const Algorithm pair{apart, "APART", 0, true};
      list.push_back({pair, [&by, pair] { by(pair); }});
      if (!settled(plain)) cudnn::compute(plain, rest);  // chosen by itself first
      algorithm = &choose(fused, list, a.stream);
    }
    by(*algorithm);
  }
};

}  // namespace
}  // namespace rt::cudnn

namespace rt::cuda {

template <Conv2dPass pass, bool graph>
void CudnnRow<pass, graph>::run(const Args& a) {
  cudnn::compute(cudnn::convolution(pass, graph, a), a);
}
template <Conv2dPass pass, bool graph>
size_t CudnnRow<pass, graph>::workspace(const Problem& p) {
  return cudnn::largest_workspace(cudnn::convolution(pass, graph, p));
}
template <Conv2dPass pass, bool graph>
std::string CudnnRow<pass, graph>::refuse(const Problem& p) {
  for (const Spec& spec : {p.in[1], p.out[0]})
    if (spec.layout != p.in[0].layout || spec.dtype != p.in[0].dtype)
      return rt::format("needs one type and layout, not {} and {}", p.in[0].str(), spec.str());
  return cudnn::refusal(cudnn::convolution(pass, graph, p));
}
template struct CudnnRow<Conv2dPass::forward, false>;
template struct CudnnRow<Conv2dPass::forward, true>;
template struct CudnnRow<Conv2dPass::dx, false>;
template struct CudnnRow<Conv2dPass::dx, true>;
template struct CudnnRow<Conv2dPass::dw, false>;
template struct CudnnRow<Conv2dPass::dw, true>;

void conv2d_forward_stats(const Args& a) {
  cudnn::WithStats(cudnn::convolution(Conv2dPass::forward, true, a)).compute(a);
}
size_t conv2d_forward_stats_workspace(const Problem& p) {
  return cudnn::WithStats(cudnn::convolution(Conv2dPass::forward, true, p)).workspace(p);
}
std::string refuse_conv2d_forward_stats(const Problem& p) {
  const Spec& x = p.in[0];
  if (x.dtype != DType::f16 || x.layout != Layout::nhwc) return "needs f16 and nhwc";
  if (std::string why = CudnnRow<Conv2dPass::forward, true>::refuse(
          {.kind = p.kind, .ops = p.ops, .in = p.in, .out = p.out.first(1)});
      !why.empty())
    return why;
  return cudnn::refusal(cudnn::WithStats(cudnn::convolution(Conv2dPass::forward, true, p)).fused);
}

}  // namespace rt::cuda
