// The layers that networks are made of, with PyTorch's names for them and for their parameters.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/pool/pool.hpp"
#include "layers/module.hpp"

namespace rt {

// x [N,in,H,W] -> [N,out,P,Q], padded by kernel/2: an output for every stride-th pixel. It has no bias, because a
// BatchNorm2d, which subtracts the mean, follows every convolution here.
class Conv2d final : public Module {
 public:
  Conv2d(int64_t in, int64_t out, int kernel, int stride = 1);

 protected:
  Var forward(Pass& pass, Var x) const override;

 private:
  int stride_, pad_;
  Parameter* weight_;  // [out,in,kernel,kernel]
};

// x [N,channels,H,W] -> the same shape. In training by the batch's statistics, which go into the running ones.
class BatchNorm2d final : public Module {
 public:
  explicit BatchNorm2d(int64_t channels);

 protected:
  Var forward(Pass& pass, Var x) const override;

 private:
  Parameter *weight_, *bias_;               // [channels]
  Statistic *running_mean_, *running_var_;  // [channels]
};

// x [N,in] -> [N,out].
class Linear final : public Module {
 public:
  Linear(int64_t in, int64_t out);

 protected:
  Var forward(Pass& pass, Var x) const override;

 private:
  Parameter* weight_;  // [out,in]
  Parameter* bias_;    // [out]
};

class ReLU final : public Module {
 protected:
  Var forward(Pass& pass, Var x) const override;
};

class MaxPool2d final : public Module {
 public:
  explicit MaxPool2d(MaxPoolAttrs attrs) : attrs_(attrs) {}

 protected:
  Var forward(Pass& pass, Var x) const override;

 private:
  MaxPoolAttrs attrs_;
};

// Modules that run one after the other; their names are their places: "0", "1", ...
class Sequential final : public Module {
 public:
  template <class M, class... A>
  void add(A&&... arguments) {
    modules_.push_back(child<M>(std::to_string(modules_.size()), std::forward<A>(arguments)...));
  }

 protected:
  Var forward(Pass& pass, Var x) const override;

 private:
  std::vector<const Module*> modules_;
};

}  // namespace rt
