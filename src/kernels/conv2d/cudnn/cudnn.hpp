// All that the engine uses of cuDNN. It exists twice and a program links one: cudnn*_api.cpp (the library), and for
// tests tests/emulation/cudnn.cpp (the CPU's reference, at costs that a test sets). Everything here throws
// Error(device) with the call that failed, and computes on the device in use.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "kernels/conv2d/conv2d.hpp"

namespace rt::cudnn {

int version();  // as cuDNN counts: 91002 is 9.10.2, 8907 is 8.9.7

struct Convolution {
  Conv2dPass pass;
  Conv2dShape shape;
  DType dtype;         // f32 (never TF32), or f16 and bf16 with sums in f32; of all three values
  Layout layout;       // of all three values: filters are K,C,R,S in memory order on nchw, K,R,S,C on nhwc
  bool graph = false;  // by algorithms of the graph API too, which has its best from compute capability 9.0 up
  bool stats = false;  // forward, of half precision: with sums over y, by algorithms of the graph API alone
  friend auto operator<=>(const Convolution&, const Convolution&) = default;
};

struct Algorithm {
  int id;            // the library's number, which means the same in every run with that version
  std::string name;  // "IMPLICIT_PRECOMP_GEMM"
  size_t workspace_bytes;
  bool deterministic;
};

// What can compute it, the library's favourite first; empty where it cannot. Asked once per convolution and kept.
const std::vector<Algorithm>& algorithms(const Convolution& c);

// A step's inputs a and b and its output: x w -> y, dy w -> dx, dy x -> dw. All of it is overwritten.
struct Operands {
  const void *a, *b;
  void* out;
  void* workspace;
  size_t workspace_bytes;  // at least what the algorithm asked for
  float* sums = nullptr;   // with stats: of y by channel [K], then of its squares [K], from before y is rounded
};
void run(const Convolution& c, int algorithm, const Operands& operands, void* stream);
// Milliseconds that what `work` enqueues takes on the device, the mean of `runs` in a row. It runs 1 + 2 * runs times:
// to load code, and in a row twice, of which the second counts. Waits for it.
double timed(const std::function<void()>& work, int runs, void* stream);

}  // namespace rt::cudnn
