// Cross-entropy at its edges, on the CPU and on the CUDA rows: ties, numbers that are none, logits of any size.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "core/cuda.hpp"
#include "core/plan.hpp"
#include "kernels/cross_entropy/cross_entropy.hpp"
#include "kernels/fusion.hpp"
#include "kernels/table.hpp"

using namespace rt;

namespace {

struct Result {
  float loss;
  int32_t top1, top5;
};

// One row of logits per label.
Result cross_entropy_of(Device device, const std::vector<float>& logits, const std::vector<int32_t>& labels,
                        double smoothing = 0) {
  const auto n = static_cast<int64_t>(labels.size()), k = static_cast<int64_t>(logits.size()) / n;
  const Spec z{{n, k}}, y{{n}, DType::i32};
  const Storage z_memory(z.bytes(), device), y_memory(y.bytes(), device);
  write_to({z, z_memory.data()}, device, logits.data());
  write_to({y, y_memory.data()}, device, labels.data());
  Tape tape(Tape::Mode::eager, kernel_table(), device == Device::cpu ? cpu_target() : cuda_target());
  const CrossEntropy ce = cross_entropy(tape, tape.external({z, z_memory.data()}, "logits"),
                                        tape.external({y, y_memory.data()}, "labels"), smoothing);
  const Tensor loss = read_back(tape.view(ce.loss), device), correct = read_back(tape.view(ce.correct), device);
  return {*loss.as<float>(), correct.as<int32_t>()[0], correct.as<int32_t>()[1]};
}

// Loss, counts and gradient of one plan, fused or not, as they lie in memory.
std::vector<Tensor> planned(Device device, DType type, bool fuse) {
  constexpr int64_t n = 37, k = 41;
  const Spec z{{n, k}, type}, y{{n}, DType::i32}, d{{}, DType::f32};
  Tensor wide({{n, k}}), logits(z), labels(y);
  for (int64_t i = 0; i < n * k; ++i) wide.as<float>()[i] = static_cast<float>(i * i % 97) / 16 - 3;
  copy_convert(wide.view(), logits.view());
  for (int32_t i = 0; i < n; ++i) labels.as<int32_t>()[i] = i % k;
  const float dloss = 0.75f;
  const Storage z_memory(z.bytes(), device), y_memory(y.bytes(), device), d_memory(d.bytes(), device);
  write_to({z, z_memory.data()}, device, logits.view().data);
  write_to({y, y_memory.data()}, device, labels.view().data);
  write_to({d, d_memory.data()}, device, &dloss);
  Tape tape(Tape::Mode::trace, kernel_table(), device == Device::cpu ? cpu_target() : cuda_target());
  const Var x = tape.external({z, z_memory.data()}, "logits", true);
  const CrossEntropy ce = cross_entropy(tape, x, tape.external({y, y_memory.data()}, "labels"), 0.1);
  tape.backward(ce.loss, tape.external({d, d_memory.data()}, "d loss"));
  const std::vector<Var> keep{ce.loss, ce.correct, tape.gradient(x)};
  Plan plan(std::move(tape), std::make_shared<Arena>(device),
            {fuse ? fusion_rules() : std::span<const Rewrite>{}, true, keep});
  CHECK(plan.rewritten("cross_entropy") == (fuse ? 1 : 0));
  CHECK(plan.steps().size() == (fuse ? 1 : 2));
  plan.replay();
  std::vector<Tensor> results;
  for (Var v : keep) results.push_back(read_back(plan.view(v), device));
  return results;
}

std::vector<Device> devices() {
  if (!cuda::support().problem.empty()) return {Device::cpu};
  cuda::use(0);
  return {Device::cpu, Device::cuda};
}

}  // namespace

TEST_CASE("cross_entropy: of equal logits the lower index ranks first") {
  for (Device device : devices()) {
    CAPTURE(std::string(name_of(device)));
    const std::vector<float> flat(40, 0.5f);
    for (int32_t label : {0, 1, 4, 5, 39}) {
      const Result r = cross_entropy_of(device, flat, {label});
      CHECK(r.top1 == (label < 1));
      CHECK(r.top5 == (label < 5));
      CHECK(r.loss == doctest::Approx(std::log(40.0)));
    }
  }
}

TEST_CASE("cross_entropy: a NaN is never correct and outranks every label, and the loss is a NaN") {
  for (Device device : devices()) {
    CAPTURE(std::string(name_of(device)));
    std::vector<float> z{5, 4, 3, 2, 1, 0};
    z[5] = NAN;
    for (int32_t label = 0; label < 6; ++label) {
      const Result r = cross_entropy_of(device, z, {label});
      CHECK(std::isnan(r.loss));
      CHECK(r.top1 == 0);
      CHECK(r.top5 == (label < 4));
    }
    CHECK(cross_entropy_of(device, std::vector<float>(7, NAN), {0}).top5 == 0);
  }
}

TEST_CASE("cross_entropy: neither large logits nor a large offset make the loss overflow or lose its digits") {
  for (Device device : devices()) {
    CAPTURE(std::string(name_of(device)));
    const Result near = cross_entropy_of(device, {0, 1, 2}, {2}, 0.1),
                 far = cross_entropy_of(device, {8192, 8193, 8194}, {2}, 0.1);
    CHECK(far.loss == doctest::Approx(near.loss).epsilon(1e-6));
    CHECK(cross_entropy_of(device, {-1e38f, 1e38f}, {1}).loss == 0);
    CHECK(cross_entropy_of(device, {0, 200, 0}, {0}).loss == 200);
  }
}

TEST_CASE("cross_entropy: the batch's mean and counts, when the batch fills neither a block nor a pass") {
  for (Device device : devices()) {
    CAPTURE(std::string(name_of(device)));
    constexpr int n = 261, k = 7;
    std::vector<float> z;
    std::vector<int32_t> labels;
    double loss = 0;
    for (int i = 0; i < n; ++i) {
      labels.push_back(i % k);  // the i-th logits fall from the (i % 3)-th on, cyclically
      double sum = 0;
      for (int j = 0; j < k; ++j) {
        z.push_back(static_cast<float>(-((j + k - i % 3) % k)));
        sum += std::exp(z.back());
      }
      loss += std::log(sum) - static_cast<double>(z[static_cast<size_t>(i * k + i % k)]);
    }
    int top1 = 0, top5 = 0;
    for (int i = 0; i < n; ++i) {
      const int rank = (i % k + k - i % 3) % k;
      top1 += rank < 1;
      top5 += rank < 5;
    }
    const Result r = cross_entropy_of(device, z, labels);
    CHECK(r.loss == doctest::Approx(loss / n).epsilon(1e-6));
    CHECK(r.top1 == top1);
    CHECK(r.top5 == top5);
  }
}

TEST_CASE("cross_entropy: a label that is no class is an error on the CPU, and a NaN on a device that cannot throw") {
  for (Device device : devices())
    for (int32_t label : {-1, 3}) {
      if (device == Device::cpu)
        CHECK_THROWS_AS(cross_entropy_of(device, {1, 2, 3}, {label}), Error);
      else
        CHECK(std::isnan(cross_entropy_of(device, {1, 2, 3}, {label}).loss));
    }
}

TEST_CASE("cross_entropy: loss and gradient in one step have the bits of two") {
  for (Device device : devices())
    for (DType type : {DType::f32, DType::f16, DType::bf16}) {
      CAPTURE(std::string(name_of(device)));
      CAPTURE(std::string(name_of(type)));
      const std::vector<Tensor> one = planned(device, type, true), two = planned(device, type, false);
      for (size_t i = 0; i < one.size(); ++i) {
        CAPTURE(i);
        CHECK(std::memcmp(one[i].view().data, two[i].view().data, one[i].spec().bytes()) == 0);
      }
    }
}
