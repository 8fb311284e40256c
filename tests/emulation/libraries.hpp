// The emulated cuDNN, as tests steer it. It offers three algorithms for every convolution: 0 without workspace, 1 with
// as much as the output takes, 2 with twice that and not deterministic. Its graph API offers two more: graph_algorithm
// with three times the output, and the next number, which is not deterministic, with four times; where sums are wanted,
// these alone.
#pragma once
#include <cstddef>

namespace rt::emulation {

constexpr int graph_algorithm = 1000;
void set_cost(int algorithm, double ms);          // adds to what timed() says; below zero: the algorithm fails there
void set_workspace(int algorithm, size_t bytes);  // in place of the above, for every convolution
void set_wrong(int algorithm);                    // from now on its results are
void reset_cudnn();       // costs 3, 2 and 1 ms (graph: 1.5 and 0.5), workspaces as above, nothing timed yet
int timings();            // calls of timed() so far
int runs(int algorithm);  // within them

}  // namespace rt::emulation
