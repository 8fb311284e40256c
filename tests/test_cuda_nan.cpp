// What the cases in kernels/cases cannot hold, since a distance to a NaN says nothing: NaNs and ties must come out of
// the CUDA rows exactly where they come out of the references.
#include <limits>

#include "core/cuda.hpp"
#include "tests/support/run_row.hpp"

using namespace rt;
using namespace rt::testing;

namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN(), infinite = std::numeric_limits<float>::infinity();

const Row& cuda_row(std::string_view kind) {
  for (const Row& row : kernel_table())
    if (row.kind == kind && row.name == "cuda") return row;
  FAIL("no CUDA row of ", std::string(kind));
  std::abort();
}

std::vector<Tensor> on_device(const Row& row, const OpPtr& op, const std::vector<const Tensor*>& in,
                              const std::vector<Spec>& specs) {
  std::vector<Storage> memory;
  std::vector<View> inputs, outputs;
  std::vector<Spec> in_specs;
  for (const Tensor* t : in) {
    in_specs.push_back(t->spec());
    memory.emplace_back(t->spec().bytes(), Device::cuda);
    inputs.push_back({t->spec(), memory.back().data()});
    write_to(inputs.back(), Device::cuda, t->view().data);
  }
  for (const Spec& spec : specs) {
    memory.emplace_back(spec.bytes(), Device::cuda);
    outputs.push_back({spec, memory.back().data()});
  }
  const Storage workspace(workspace_bytes(row, {.ops = {&op, 1}, .in = in_specs, .out = specs}), Device::cuda);
  run_row(
      row,
      {.ops = {&op, 1}, .in = inputs, .out = outputs, .workspace = workspace.data(), .stream = cuda::compute_stream()});
  std::vector<Tensor> results;
  for (const View& v : outputs) results.push_back(read_back(v, Device::cuda));
  return results;
}

bool have_device() {
  if (cuda::support().problem.empty()) {
    cuda::use(0);
    return true;
  }
  MESSAGE("skipped: " << cuda::support().problem);
  return false;
}

// One NaN, and many equal values.
Tensor awkward(const Spec& spec) {
  Tensor x = random(spec, 3);
  float* v = x.as<float>();
  for (int64_t i = 0; i < spec.shape.numel(); ++i) v[i] = std::round(2 * v[i]) / 2;
  v[77] = nan;
  return x;
}

}  // namespace

TEST_CASE("cuda_nan: batch normalisation passes a NaN on as the reference does") {
  if (!have_device()) return;
  for (Layout layout : {Layout::nchw, Layout::nhwc}) {
    const Spec spec{{2, 8, 4, 4}, DType::f32, layout}, c{{8}};
    const Tensor x = awkward(spec), skip = random(spec, 4), dy = random(spec, 5), mean = random(c, 6),
                 rstd = random(c, 7, 0.5f, 2), gamma = random(c, 8), beta = random(c, 9);
    const struct {
      const char* kind;
      std::vector<const Tensor*> in;
      std::vector<Spec> out;
    } steps[] = {{"batch_norm.stats", {&x}, {c, c, c}},
                 {"bn_relu.apply", {&x, &mean, &rstd, &gamma, &beta}, {spec}},
                 {"bn_add_relu.apply", {&x, &mean, &rstd, &gamma, &beta, &skip}, {spec}},
                 {"bn_relu.sums", {&dy, &x, &skip, &mean, &rstd}, {c, c}},  // y is NaN: masked
                 {"bn_relu.sums", {&x, &skip, &skip, &mean, &rstd}, {c, c}},
                 {"bn_add_relu.dx", {&dy, &skip, &x, &mean, &rstd, &gamma, &beta, &beta}, {spec, spec}}};
    for (const auto& step : steps) {
      CAPTURE(std::string(step.kind));
      CAPTURE(name_of(layout));
      const OpPtr op = batch_norm_op();
      const std::vector<Tensor> want = outputs_of(reference_row(step.kind), op, step.in, step.out),
                                got = on_device(cuda_row(step.kind), op, step.in, step.out);
      for (size_t i = 0; i < want.size(); ++i) CHECK(distance(got[i], want[i]) < 1e-5);
    }
  }
}

TEST_CASE("cuda_nan: max pooling takes the first of equal values, and a NaN before any") {
  if (!have_device()) return;
  for (Layout layout : {Layout::nchw, Layout::nhwc})
    for (int kernel : {2, 3}) {
      CAPTURE(name_of(layout));
      const Tensor x = awkward({{1, 4, 6, 6}, DType::f32, layout});
      Tensor low = copy(x);  // nothing is greater than what the search starts from
      for (int64_t i = 0; i < 72; ++i) low.as<float>()[i] = -infinite;
      const OpPtr op = max_pool_op({kernel, 2, kernel / 2});
      const Shape y{1, 4, kernel == 2 ? 4 : 3, kernel == 2 ? 4 : 3};
      const std::vector<Spec> out{{y, DType::f32, layout}, {y, DType::u8, layout}};
      for (const Tensor* values : {&x, static_cast<const Tensor*>(&low)}) {
        const std::vector<Tensor> want = outputs_of(reference_row("max_pool.forward"), op, {values}, out),
                                  got = on_device(cuda_row("max_pool.forward"), op, {values}, out);
        CHECK(distance(got[0], want[0]) == 0);
        CHECK(same_bits(got[1], want[1]));
      }
    }
}
