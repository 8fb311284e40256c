// cuDNN's graph API as further algorithms of a convolution: for cudnn_api.cpp, which hands them out beside its own.
#pragma once
#include <cudnn.h>

#include "kernels/cudnn.hpp"

namespace rt::cudnn {

// The graph API's algorithms have this id or a higher one, the legacy API's are far below.
constexpr int first_graph_id = 1000;

// Its favourite first. Empty where it cannot compute `c`, which is no error; asked once per convolution.
std::vector<Algorithm> graph_algorithms(cudnnHandle_t handle, const Convolution& c, cudnnDataType_t type);
// One of them, on the handle's stream. Throws Error(device) where it does not run.
void run_graph(cudnnHandle_t handle, const Convolution& c, int algorithm, const Operands& operands);

}  // namespace rt::cudnn
