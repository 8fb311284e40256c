// The benchmarks' counting: what a step computes and moves, which steps are one row of the table. Times are never
// judged.
#include <doctest/doctest.h>

#include <map>
#include <set>

#include "bench/beside.hpp"
#include "bench/commands.hpp"
#include "bench/ops.hpp"
#include "core/check.hpp"
#include "kernels/conv2d/winograd/conv2d_winograd.hpp"
#include "tests/support/threads_guard.hpp"

using namespace rt;
using namespace rt::testing;

namespace {

OpBenchOptions tiny(const std::string& filter, const std::string& stem = "cifar") {
  OpBenchOptions o;
  o.workload.batch = 2;
  o.workload.side = 16;
  o.workload.stem = stem;
  o.filter = filter;
  o.repeat = 1;
  o.step_seconds = 0;
  return o;
}

class FakePeer final : public PeerConvolution {
 public:
  explicit FakePeer(int& runs) : runs_(runs) {}
  void run() override { ++runs_; }

 private:
  int& runs_;
};

}  // namespace

TEST_CASE("bench: a training step's work is counted once for each layer and pass") {
  const ThreadsGuard guard;
  for (bool alone : {false, true}) {
    OpBenchOptions o = tiny("conv2d");
    o.alone = alone;
    std::map<std::string, double> flops;
    std::map<std::string, int> layers;
    for (const StepTiming& t : bench_ops(o)) {
      const std::string kind = t.kind.substr(0, t.kind.find('.', sizeof "conv2d"));  // whatever else it does
      flops[kind] += t.work.flops_effective * t.count;
      layers[kind] += t.count;
      CHECK(t.ms_min <= t.ms);
      CHECK(t.ms <= t.ms_max);
      CHECK(t.work.flops_done <= t.work.flops_effective);
      CHECK(t.gflops() * t.ms * 1e6 == doctest::Approx(t.work.flops_effective));
      CHECK(t.gbps() * t.ms * 1e6 == doctest::Approx(t.work.bytes));
    }
    double all = 0;
    for (const auto& [kind, f] : flops) all += f;
    // Multiply-adds of a forward pass by PyTorch's count (tools/torch_resnet18.py): 555,417,600 for 32x32, a quarter of
    // them for 16x16. Backward is twice as much, but for the images, which need no gradient: the stem's 27 per output.
    const double forward = 2.0 * 2 * 555417600 / 4, stem = 2.0 * 2 * 16 * 16 * 64 * 27;
    CHECK(all == doctest::Approx(3 * forward - stem));
    CHECK(flops["conv2d.forward"] == doctest::Approx(forward));
    CHECK(layers["conv2d.forward"] == 20);
    CHECK(layers["conv2d.dw"] + layers["conv2d.backward"] == 20);
    CHECK(layers["conv2d.dx"] + layers["conv2d.backward"] == 19);
  }
}

TEST_CASE("bench: both ceilings of the machine are measured") {
  const Peak peak = measure_peak(0.01);
  CHECK(peak.gflops > 0);
  CHECK(peak.gbps > 0);
}

TEST_CASE("bench: filters take steps by kind, layer and row, and say what there is where none matches") {
  const ThreadsGuard guard;
  auto kinds = [](const std::string& filter, const std::string& stem = "cifar") {
    std::set<std::string> found;
    for (const StepTiming& t : bench_ops(tiny(filter, stem))) found.insert(t.kind);
    return found;
  };
  CHECK(kinds("linear") == std::set<std::string>{"linear.forward", "linear.dx", "linear.dw", "linear.dbias"});
  CHECK(kinds("max_pool", "imagenet") == std::set<std::string>{"max_pool.forward", "max_pool.backward"});
  CHECK(kinds("layer4.0.downsample.1").contains("batch_norm.stats"));
  for (const StepTiming& t : bench_ops(tiny("linear.dx")))  // 2 images x 10 classes x 512 inputs, two operations each
    CHECK(t.work.flops_effective == 2.0 * 2 * 10 * 512);
  try {
    bench_ops(tiny("no_such_step"));
    FAIL("must throw");
  } catch (const Error& e) {
    CHECK(e.code() == ExitCode::usage);
    CHECK(std::string(e.what()).find("max_pool") == std::string::npos);  // the cifar stem has none
    CHECK(std::string(e.what()).find("conv2d.forward") != std::string::npos);
  }
}

TEST_CASE("bench: a peer runs as often as ours, once for each pass of a step") {
  const ThreadsGuard guard;
  std::multiset<Conv2dPass> passes;
  int runs = 0;
  const Peer peer{"fake", "", [&](const Conv2dShape& s, Conv2dPass pass) {
                    CHECK(s.n == 2);
                    passes.insert(pass);
                    return std::make_unique<FakePeer>(runs);
                  }};
  OpBenchOptions o = tiny("layer1.0.conv1");
  o.peer = &peer;
  int ours = 0;
  bool timed = false;
  for (const StepTiming& t : bench_ops(o)) {
    if (!t.kind.starts_with("conv2d")) continue;
    ours += (t.repeats + 1) * (t.kind.starts_with("conv2d.backward") ? 2 : 1);  // one more run warms up
    timed |= t.peer_ms > 0;
  }
  CHECK(runs == ours);
  CHECK(timed);
  CHECK(passes.count(Conv2dPass::forward) == 1);
  o.filter = "bn1";
  CHECK_THROWS_AS(bench_ops(o), Error);
}

TEST_CASE("bench: Winograd's share of the arithmetic is a quarter where tiles fit, more where they hang over") {
  Conv2dShape s{1, 16, 32, 32, 16, 3, 3, 32, 32, 1, 1};
  CHECK(winograd_share(s) == doctest::Approx(0.25));
  s.p = s.q = 14;  // 4 x 4 tiles of 4 x 4: 256 outputs computed where 196 are wanted
  CHECK(winograd_share(s) == doctest::Approx(0.25 * 256 / 196));
}

TEST_CASE("bench: --ablate is the verb, wherever it stands") {
  std::string words[] = {"--batch", "8", "--ablate", "fuse"};
  std::vector<char*> line;
  for (std::string& word : words) line.push_back(word.data());
  accept_ablate_option(line);
  const std::vector<std::string> seen(line.begin(), line.end());
  CHECK(seen == std::vector<std::string>{"ablate", "--batch", "8", "fuse"});
}

TEST_CASE("bench: a fair share of the CPUs counts what is runnable, and what the program has alone") {
  CHECK(fair_share(2, 0, 2) == 1);
  CHECK(fair_share(2, 1, 2) == doctest::Approx(2.0 / 3));
  CHECK(fair_share(2, 4, 2) == doctest::Approx(1.0 / 3));
  CHECK(fair_share(1, 1, 2) == 1);  // a CPU is free
  CHECK(fair_share(1, 3, 2) == doctest::Approx(0.5));
  CHECK(fair_share(4, 4, 2) == doctest::Approx(0.5));  // alone four threads share two CPUs already
}
