// For tests of rows: random values, ops to hand to a row, and running a row of the table directly, in a workspace of
// exactly the size it asks for.
#pragma once
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "core/rng.hpp"
#include "core/tape.hpp"
#include "kernels/batch_norm/batch_norm.hpp"
#include "kernels/pool/pool.hpp"
#include "kernels/table.hpp"

namespace rt::testing {

inline Spec nhwc(const Shape& shape, DType dtype = DType::f32) { return {shape, dtype, Layout::nhwc}; }
inline Spec as_type(Spec spec, DType dtype) {
  spec.dtype = dtype;
  return spec;
}
inline Tensor as_type(const Tensor& from, DType dtype) {
  Tensor t(as_type(from.spec(), dtype));
  copy_convert(from.view(), t.view());
  return t;
}

inline Tensor random(const Spec& spec, uint32_t seed, float low = -1, float high = 1) {
  if (spec.dtype != DType::f32) return as_type(random(as_type(spec, DType::f32), seed, low, high), spec.dtype);
  Tensor t(spec);
  Rng rng(7, RngPurpose::test, seed);
  for (int64_t i = 0; i < spec.shape.numel(); ++i) t.as<float>()[i] = rng.uniform(low, high);
  return t;
}

inline Tensor copy(const Tensor& from) {
  Tensor t(from.spec());
  std::memcpy(t.view().data, from.view().data, from.spec().bytes());
  return t;
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.spec() == b.spec() && std::memcmp(a.view().data, b.view().data, a.spec().bytes()) == 0;
}

// L2 norm of the difference over L2 norm of the expected; a NaN where only one has one is infinitely far.
inline double distance(const Tensor& actual, const Tensor& expected) {
  if (expected.spec().dtype != DType::f32) return distance(as_type(actual, DType::f32), as_type(expected, DType::f32));
  double difference = 0, norm = 0;
  for (int64_t i = 0; i < expected.spec().shape.numel(); ++i) {
    const double a = static_cast<double>(actual.as<float>()[i]), e = static_cast<double>(expected.as<float>()[i]);
    if (std::isnan(a) != std::isnan(e)) return INFINITY;
    if (a == e || std::isnan(e)) continue;
    difference += (a - e) * (a - e);
    norm += e * e;
  }
  return difference == 0 ? 0 : std::sqrt(difference / norm);
}

inline OpPtr batch_norm_op(BatchNormAttrs attrs = {}) {
  Tape tape(Tape::Mode::trace, kernel_table(), cpu_target());
  const Var x = tape.make(nhwc({2, 1, 1, 1})), c = tape.make({{1}});
  batch_norm(tape, x, c, c, {c, c}, attrs);
  return tape.steps()[0].ops[0];
}
inline OpPtr max_pool_op(MaxPoolAttrs attrs) {
  Tape tape(Tape::Mode::trace, kernel_table(), cpu_target());
  max_pool(tape, tape.make(nhwc({1, 1, 16, 16})), attrs);
  return tape.steps()[0].ops[0];
}

inline const Row& reference_row(std::string_view kind) {
  for (const Row& row : kernel_table())
    if (row.kind == kind && row.algorithm == Algorithm::reference) return row;
  FAIL("no reference row of ", std::string(kind));
  std::abort();
}

// The rows of a kind that this machine can run, without the reference.
inline std::vector<const Row*> vector_rows(std::string_view kind) {
  std::vector<const Row*> rows;
  for (const Row& row : kernel_table())
    if (row.kind == kind && row.device == Device::cpu && row.algorithm != Algorithm::reference &&
        row.min_capability <= cpu_target().capability)
      rows.push_back(&row);
  REQUIRE(!rows.empty());
  return rows;
}
// The row of another kind for the same instruction set.
inline const Row& sibling(const Row& row, std::string_view kind) {
  for (const Row& other : kernel_table())
    if (other.kind == kind && other.name == row.name) return other;
  FAIL("no row ", row.name, " of ", std::string(kind));
  std::abort();
}

inline void run(const Row& row, const OpPtr& op, std::vector<const Tensor*> in, std::vector<const Tensor*> out) {
  std::vector<View> inputs, outputs;
  std::vector<Spec> input_specs, output_specs;
  for (const Tensor* t : in) {
    inputs.push_back(t->view());
    input_specs.push_back(t->spec());
  }
  for (const Tensor* t : out) {
    outputs.push_back(t->view());
    output_specs.push_back(t->spec());
  }
  const Problem problem{.ops = {&op, 1}, .in = input_specs, .out = output_specs};
  REQUIRE(refusal_of(row, problem) == "");
  const Storage workspace(workspace_bytes(row, problem));
  if (workspace.bytes() > 0) std::memset(workspace.data(), 0xff, workspace.bytes());
  run_row(row, {.ops = {&op, 1}, .in = inputs, .out = outputs, .workspace = workspace.data()});
}

// The outputs of a row, for outputs of these specs.
inline std::vector<Tensor> outputs_of(const Row& row, const OpPtr& op, const std::vector<const Tensor*>& in,
                                      const std::vector<Spec>& specs) {
  std::vector<Tensor> out;
  std::vector<const Tensor*> pointers;
  for (const Spec& spec : specs) out.emplace_back(spec);
  for (const Tensor& t : out) pointers.push_back(&t);
  run(row, op, in, pointers);
  return out;
}

}  // namespace rt::testing
