// `rbench ops`: every step of a training step, layer by layer and pass by pass, and how near it comes to what the
// machine can do. On the CPU steps are timed where they run, inside whole training steps, so that caches hold what they
// hold then. On CUDA, and wherever one step is to be looked at, it runs again and again by itself on the numbers it
// meets in training.
#pragma once
#include "bench/peak.hpp"
#include "bench/peer.hpp"
#include "bench/workload.hpp"
#include "kernels/flops.hpp"

namespace rt {

struct OpBenchOptions {
  WorkloadOptions workload;
  std::string filter;          // part of a step's kind, layer or row; "": all
  int repeat = 5;              // training steps to take the median of
  bool alone = false;          // each step by itself; always so on CUDA and beside a peer
  double step_seconds = 0.2;   // time box of a step alone, at least 3 runs unless those take ten times as long
  const Peer* peer = nullptr;  // only convolutions, by this library as well, interleaved with ours
};

// What one step takes, of `count` of the same kind, shape and row.
struct StepTiming {
  std::string layer, kind, row, shape;  // layer: the first of them, "layer1.0.conv1"
  int count;
  double ms, ms_min, ms_max;  // median and range over `repeats`
  int repeats;
  double share;  // of all steps' time, for the `count` of them
  Work work;
  double peer_ms = 0;  // median; 0: not timed

  double gflops() const { return work.flops_effective / ms * 1e-6; }  // by the definition of the operation
  double gflops_done() const { return work.flops_done / ms * 1e-6; }
  double gbps() const { return work.bytes / ms * 1e-6; }
};

// Times the steps, in the order in which they run. Error(usage) lists the kinds where nothing matches the filter.
std::vector<StepTiming> bench_ops(const OpBenchOptions& options);

// Measures the peaks too, prints a table (or one JSON object) on stdout, returns 0.
int run_op_bench(const OpBenchOptions& options, bool json);

}  // namespace rt
