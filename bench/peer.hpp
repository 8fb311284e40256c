// Another library's convolutions, timed beside ours in the same process. Only rbench links one (onednn.cpp); the
// product has none, and says so.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "kernels/conv2d/conv2d.hpp"

namespace rt {

class PeerConvolution {  // with memory of its own, in f32 and nhwc
 public:
  virtual ~PeerConvolution() = default;
  virtual void run() = 0;  // returns when it is done
};

struct Peer {
  std::string name;     // "oneDNN 2.6.3"
  std::string problem;  // not empty: there is none, and how to get one
  std::function<std::unique_ptr<PeerConvolution>(const Conv2dShape&, Conv2dPass)> convolution;
};
Peer onednn_peer();  // in rbench alone; uses the threads and the instruction set that our kernels use

inline Peer (*linked_peer)() = nullptr;  // rbench sets it; null in a program that links no other library

}  // namespace rt
