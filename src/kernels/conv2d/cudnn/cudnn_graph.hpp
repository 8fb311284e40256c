// cuDNN's graph API as further algorithms of a convolution: for cudnn_api.cpp, which hands them out beside its own.
#pragma once
#include <cudnn.h>

#include "core/format.hpp"
#include "kernels/conv2d/cudnn/cudnn.hpp"

namespace rt::cudnn {

// What the library says of a call that has just failed: from version 9 on also which argument it did not like, and why.
inline std::string reason(cudnnStatus_t status) {
  std::string text = cudnnGetErrorString(status);
#if CUDNN_MAJOR >= 9
  char more[1024] = "";
  cudnnGetLastErrorString(more, sizeof more);
  if (more[0] != '\0') text += rt::format(" ({})", static_cast<const char*>(more));
#endif
  return text;
}

// The graph API's algorithms have this id or a higher one, the legacy API's are far below.
constexpr int first_graph_id = 1000;

// Its favourite first. Empty where it cannot compute `c`, which is no error; asked once per convolution.
std::vector<Algorithm> graph_algorithms(cudnnHandle_t handle, const Convolution& c, cudnnDataType_t type);
// One of them, on the handle's stream. Throws Error(device) where it does not run.
void run_graph(cudnnHandle_t handle, const Convolution& c, int algorithm, const Operands& operands);

}  // namespace rt::cudnn
