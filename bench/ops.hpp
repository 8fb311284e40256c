// `rbench ops`: every step kind of a ResNet-18 training step on its real shapes, with the row that is selected for it,
// and how near it comes to what the machine can do.
#pragma once
#include <string>
#include <vector>

#include "bench/peak.hpp"
#include "core/tensor.hpp"

namespace rt {

struct OpBenchOptions {
  std::string stem = "cifar";  // or "imagenet"
  int64_t batch = 128;
  Device device = Device::cpu;  // on CUDA: the one in use
  DType precision = DType::f32;
  Layout layout = Layout::nhwc;
  bool fuse = true;           // optimize.fuse
  bool select = true;         // optimize.select; off times the reference rows
  double step_seconds = 0.2;  // time box of one step, at least 3 repeats unless those take ten times as long
};

struct OpTiming {
  std::string op, shape, kind, row;
  double ms, ms_min, ms_max;  // median and range over the repeats
  int repeats;
  double gflops;           // convolutions and linear layers by arithmetic; 0 for the others,
  double gbps;             // which are judged by the bytes they must read and write; 0 for the former
  double percent_of_peak;  // of the matching one
};

// filter: part of an op's or a step kind's name; "" for all. Error(usage) lists the ops where nothing matches.
std::vector<OpTiming> bench_ops(const std::string& filter, const Peak& peak, const OpBenchOptions& options);

// Measures the peak, prints a table (or a JSON array of objects) on stdout, returns 0.
// device and precision as words ("cuda:0", "auto"); layout is what the device prefers.
int run_op_bench(const std::string& filter, bool json, OpBenchOptions options, const std::string& device = "cpu",
                 const std::string& precision = "f32");

}  // namespace rt
