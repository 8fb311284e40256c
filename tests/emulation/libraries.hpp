// The emulated cuDNN, as tests steer it. It offers three algorithms for every convolution: 0 without workspace, 1 with as
// much as the output takes, 2 with twice that and not deterministic.
#pragma once
#include <cstddef>

namespace rt::emulation {

void set_cost(int algorithm, double ms);          // what run_timed says; below zero: the algorithm fails when it runs
void set_workspace(int algorithm, size_t bytes);  // in place of the above, for every convolution
void reset_cudnn();                               // costs 3, 2 and 1 ms, workspaces as above, nothing timed yet
int timings();                                    // calls of run_timed so far

}  // namespace rt::emulation
