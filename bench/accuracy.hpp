// `rbench accuracy`: how far the CPU's convolutions come from the definition. Every row that fits a layer of ResNet-18,
// in each pass, on random numbers, against sums in f64.
#pragma once
#include <string>
#include <vector>

#include "core/step.hpp"
#include "kernels/conv2d/conv2d.hpp"

namespace rt {

// y, dx and dw of a convolution by its definition, summed in f64; x and dy are nhwc, w is OIHW. Exact on small
// integers.
struct ConvolutionSums {
  std::vector<double> y, dx, dw;
  ConvolutionSums(const Conv2dShape& s, const float* x, const float* w, const float* dy);
};

// The different convolutions of ResNet-18 for `images` images. A layer that direct products for few pixels would take
// gets as many more images as its usual row needs to be chosen.
std::vector<Conv2dShape> resnet18_convolutions(bool imagenet, int64_t images);

struct RowError {
  std::string_view pass;  // "conv2d.forward", "conv2d.dx", "conv2d.dw"
  const Row* row;
  double relative_l2;  // norm of the difference over the norm of the result
};
// The errors of all rows that this machine can run and that compute in f32, without the reference. Rows of the most
// capable instruction set come first.
std::vector<RowError> convolution_errors(const Conv2dShape& shape);

struct AccuracyOptions {
  std::string stem = "cifar";
  int images = 3;
  bool json = false;
};
int run_accuracy(const AccuracyOptions& options);  // prints a table (or one JSON object) on stdout, returns 0

}  // namespace rt
