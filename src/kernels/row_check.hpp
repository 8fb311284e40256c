// Whether a row computed what the reference computes, on host copies of both results.
#pragma once
#include <string>

#include "core/step.hpp"

namespace rt {

// Relative error that rounding explains. Both sides start from the same numbers and round alike at the end: results of
// half precision differ where a sum falls on the other side of a rounding border, f32 by the order of the terms. What a
// step derives from a result in half precision, as the statistics of a convolution's output, may come from before that
// is rounded. Convolutions in f32 may be computed by transforms, Winograd's or Fourier's, whose errors are larger;
// TF32's would be larger still (3e-4).
double row_tolerance(std::string_view kind, DType computed_in, std::span<const View> results, size_t i);

// "" where they agree: in L2 norm within the tolerance, and each element within a multiple of it; integers exactly.
// Else a sentence that names the worst element. A NaN agrees with a NaN.
std::string mismatch(const View& got, const View& want, double tolerance);

const Row& reference_row(std::span<const Row> table, std::string_view kind);  // the CPU's last one

}  // namespace rt
