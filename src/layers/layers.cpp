#include "layers/layers.hpp"

#include "kernels/batch_norm/batch_norm.hpp"
#include "kernels/conv2d/conv2d.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "kernels/linear/linear.hpp"

namespace rt {

Conv2d::Conv2d(int64_t in, int64_t out, int kernel, int stride)
    : stride_(stride),
      pad_(kernel / 2),
      weight_(parameter("weight", {out, in, kernel, kernel}, Init::kaiming_fan_out, true)) {}
Var Conv2d::forward(Pass& pass, Var x) const {
  return conv2d(pass.tape, x, pass[*weight_], {.stride = stride_, .pad = pad_});
}

BatchNorm2d::BatchNorm2d(int64_t channels)
    : weight_(parameter("weight", {channels}, Init::ones, false)),
      bias_(parameter("bias", {channels}, Init::zeros, false)),
      running_mean_(statistic("running_mean", {channels}, Init::zeros)),
      running_var_(statistic("running_var", {channels}, Init::ones)) {}
Var BatchNorm2d::forward(Pass& pass, Var x) const {
  return batch_norm(pass.tape, x, pass[*weight_], pass[*bias_],
                    {.running_mean = pass[*running_mean_], .running_var = pass[*running_var_]},
                    {.training = pass.training});
}

Linear::Linear(int64_t in, int64_t out)
    : weight_(parameter("weight", {out, in}, Init::uniform_fan_in, true, in)),
      bias_(parameter("bias", {out}, Init::uniform_fan_in, false, in)) {}
Var Linear::forward(Pass& pass, Var x) const { return linear(pass.tape, x, pass[*weight_], pass[*bias_]); }

Var ReLU::forward(Pass& pass, Var x) const { return relu(pass.tape, x); }

Var MaxPool2d::forward(Pass& pass, Var x) const { return max_pool(pass.tape, x, attrs_); }

Var Sequential::forward(Pass& pass, Var x) const {
  for (const Module* module : modules_) x = (*module)(pass, x);
  return x;
}

}  // namespace rt
