// Whole training steps: each optimisation switched off changes nothing that it may not change, nor does the number of
// threads; a bad step changes nothing at all; micro-batches add up.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/support/threads_guard.hpp"
#include "tests/support/training.hpp"

using namespace rt;
using namespace rt::testing;

namespace {

constexpr int64_t count = 8;

// A narrow ResNet-18.
struct ResNet : Training {
  explicit ResNet(const ExecutorOptions& options = {}, const std::string& stem = "cifar")
      : Training({.arch = "resnet18", .stem = stem, .width = 16}, options, count, stem == "imagenet" ? 64 : 32) {}
  std::vector<NamedView> everything() const {
    std::vector<NamedView> all = state->parameters();
    for (auto& list : {state->gradients(), state->in_slot("momentum"), state->statistics()})
      all.insert(all.end(), list.begin(), list.end());
    return all;
  }
  StepResult step(uint32_t which, double lr = 0.02) { return Training::step(random_batch(which), lr); }
};

ExecutorOptions in_bf16() {
  ExecutorOptions options;
  options.precision = DType::bf16;
  return options;
}

double distance(const View& a, const View& b) {
  double difference = 0, norm = 0;
  for (int64_t i = 0; i < a.numel(); ++i) {
    const double x = static_cast<double>(a.as<float>()[i]), y = static_cast<double>(b.as<float>()[i]);
    difference += (x - y) * (x - y);
    norm += y * y;
  }
  return difference == 0 ? 0 : std::sqrt(difference / norm);
}

// One step with all optimisations, and one with `options`, leave the same model but for rounding. A ReLU whose input
// lies within rounding of zero passes its gradient on one side only (then tensors differ by some 1e-3), which some
// batches hold: of six, one has to agree.
void check_same(const ExecutorOptions& options, const std::string& stem, double tolerance, const std::string& what) {
  double worst = 0;
  for (uint32_t attempt = 0; attempt < 6; ++attempt) {
    ResNet with({}, stem), without(options, stem);
    const Batch images = random_batch(attempt, count, stem == "imagenet" ? 64 : 32);
    const double loss = with.executor->train(images, 1, true, true, 0.01).loss;
    const double loss_differs = std::abs(without.executor->train(images, 1, true, true, 0.01).loss - loss) / loss;
    CHECK(loss_differs <= tolerance);
    worst = 0;
    std::string where;
    const auto a = with.everything(), b = without.everything();
    for (size_t i = 0; i < a.size(); ++i)
      if (const double d = distance(b[i].view, a[i].view); d > worst || std::isnan(d)) {
        worst = d;
        where = a[i].name;
      }
    MESSAGE(what << ", " << stem << " stem: worst tensor differs by " << worst << " " << where << ", loss by "
                 << loss_differs);
    if (worst <= tolerance) break;
  }
  CHECK(worst <= tolerance);
}

}  // namespace

TEST_CASE(
    "executor: without one of its passes a step differs by nothing, or where the arithmetic changes by rounding") {
  struct Pass {
    std::string name;
    bool Switches::*member;
    double tolerance;
  };
  const Pass passes[] = {{"plan", &Switches::plan, 3e-5},  // eager is neither fused nor planned
                         {"memory", &Switches::memory, 0},        {"fuse", &Switches::fuse, 3e-5},
                         {"winograd", &Switches::winograd, 3e-5}, {"layout", &Switches::layout, 1e-5},
                         {"select", &Switches::select, 1e-5}};
  for (const std::string stem : {"cifar", "imagenet"}) {
    for (const Pass& pass : passes) {
      CAPTURE(pass.name);
      CAPTURE(stem);
      ExecutorOptions options;
      options.optimize.*pass.member = false;
      check_same(options, stem, pass.tolerance, "optimize." + pass.name + " off");
    }
    // With nothing fused, a plan is the eager run bit for bit.
    const Batch batch = random_batch(0, count, stem == "imagenet" ? 64 : 32);
    ExecutorOptions unfused, eager;
    unfused.optimize.fuse = false;
    eager.optimize.plan = false;
    ResNet p(unfused, stem), e(eager, stem);
    p.executor->train(batch, 1, true, true, 0.01);
    e.executor->train(batch, 1, true, true, 0.01);
    CHECK(p.hash() == e.hash());
  }
}

TEST_CASE("executor: with optimize.unfused each rule of fusion can be left out, and a wrong name lists them") {
  for (const Rewrite& rule : fusion_rules()) {
    ExecutorOptions options;
    options.optimize.unfused = rule.name;
    const double tolerance = rule.name.starts_with("sgd") ? 0 : 3e-5;
    check_same(options, "cifar", tolerance, "without " + std::string(rule.name));
  }
  ExecutorOptions all, wrong;
  for (const Rewrite& rule : fusion_rules()) all.optimize.unfused += std::string(rule.name) + " ";
  CHECK(ResNet(all).executor->explain(count).find("bn_relu") == std::string::npos);
  wrong.optimize.unfused = "conv2d.statistics";
  try {
    ResNet(wrong).executor->explain(count);
    FAIL("must throw");
  } catch (const Error& e) {
    CHECK(e.code() == ExitCode::usage);
    CHECK(std::string(e.what()).find("conv2d.statistics; there are bn_add_relu.forward, ") != std::string::npos);
  }
}

TEST_CASE("executor: the state after three steps has the same hash with 1, 2, 3 and 4 threads") {
  const ThreadsGuard guard;
  uint64_t expected = 0;
  for (int threads : {1, 2, 3, 4}) {
    set_threads(threads);
    ResNet m;
    for (uint32_t step = 0; step < 3; ++step) m.executor->train(random_batch(step), 1, true, true, 0.05);
    if (threads == 1) expected = m.hash();
    CHECK(m.hash() == expected);
  }
}

TEST_CASE("executor: a step with a non-finite loss changes no weight, momentum or statistic; the layer is named") {
  ResNet m;
  m.executor->train(random_batch(0), 1, true, true, 0.01);
  fill_zero(m.state->grads());
  const uint64_t before = m.hash();
  Batch bad = random_batch(1);
  bad.images[5] = std::numeric_limits<float>::infinity();
  const StepResult r = m.executor->train(bad, 1, true, true, 0.01);
  CHECK(!r.finite);
  fill_zero(m.state->grads());
  CHECK(m.hash() == before);
  CHECK(m.executor->first_bad_layer(bad).find("images themselves") != std::string::npos);
  // A weight that overflows inside: the layer is named.
  for (const NamedView& v : m.state->parameters())
    if (v.name == "layer2.0.bn1.weight") v.view.as<float>()[0] = std::numeric_limits<float>::max();
  const std::string layer = m.executor->first_bad_layer(random_batch(0));
  CAPTURE(layer);
  CHECK(layer.find("layer2.0") != std::string::npos);
}

TEST_CASE("executor: micro-batches give the weighted sum of their gradients and one update") {
  const Batch first = random_batch(0, 6), second = random_batch(1, 2);
  ResNet a, b, both;
  a.executor->train(first, 0.75, true, false, 0);
  b.executor->train(second, 0.25, true, false, 0);
  both.executor->train(first, 0.75, true, false, 0);
  const StepResult r = both.executor->train(second, 0.25, false, true, 0.01);
  CHECK(r.finite);
  double worst = 0;
  const float *ga = a.state->grads().as<float>(), *gb = b.state->grads().as<float>(),
              *g = both.state->grads().as<float>();
  for (int64_t i = 0; i < both.state->grads().numel(); ++i)
    worst = std::max<double>(worst, std::abs(ga[i] + gb[i] - g[i]));
  CHECK(worst == 0);
  CHECK(distance(both.state->weights(), a.state->weights()) > 0);
}

TEST_CASE("executor: evaluation leaves every number of the model as it is, and plans of all kinds share one arena") {
  ResNet m;
  m.executor->train(random_batch(0), 1, true, true, 0.01);
  const uint64_t before = m.hash();
  const EvalResult r = m.executor->evaluate(random_batch(1, 5));
  CHECK(r.images == 5);
  CHECK(std::isfinite(r.loss_sum));
  CHECK(m.hash() == before);
  const MemoryFigures f = m.executor->memory(count);
  CHECK(f.arena_bytes < f.unshared_bytes);
}

TEST_CASE("executor: optimize.winograd=false refuses every row of that name, beside what the self-test refused") {
  std::vector<Row> table(kernel_table().begin(), kernel_table().end());
  for (const char* name : {"cpu.fake.winograd", "cpu.broken"}) {
    Row row = *std::find_if(table.begin(), table.end(), [](const Row& r) {
      return r.kind == "conv2d.forward" && r.algorithm == Algorithm::winograd;
    });
    row.name = name;
    row.min_capability = isa_scalar;
    table.insert(table.begin(), row);
  }
  ExecutorOptions options;
  options.table = table;
  options.optimize.fuse = false;  // fused with what follows it, a convolution is of another kind
  options.refused = std::make_shared<std::vector<RefusedRow>>(1, RefusedRow{"conv2d.forward", "cpu.broken", "wrong"});
  const std::string broken = "not cpu.broken: failed its self-test: wrong";
  CHECK(ResNet(options).executor->explain(count).find("cpu.fake.winograd (" + broken + ")") != std::string::npos);
  options.optimize.winograd = false;
  CHECK(ResNet(options).executor->explain(count).find("(" + broken + ", cpu.fake.winograd: optimize.winograd=false") !=
        std::string::npos);
}

TEST_CASE("executor: bf16 comes close to the losses in f32, and computes with the masters, rounded") {
  ResNet f32, half(in_bf16());
  for (uint32_t step = 0; step < 4; ++step) {
    const StepResult want = f32.step(step, 0.005), got = half.step(step, 0.005);
    MESSAGE("step " << step << ": loss " << got.loss << ", in f32 " << want.loss);
    CHECK(got.finite);
    CHECK(std::abs(got.loss - want.loss) < 0.01 * want.loss);
    CHECK(std::abs(got.grad_norm - want.grad_norm) < 0.05 * want.grad_norm);
    if (step > 0) continue;
    CHECK(got.loss != want.loss);
    CHECK(distance(half.state->grads(), f32.state->grads()) < 0.4);  // 0.2 of it comes from the weights' rounding alone
  }
  const View copy = half.state->compute_weights();
  const float* masters = half.state->weights().as<float>();
  int64_t wrong = 0;
  for (int64_t i = 0; i < copy.numel(); ++i) wrong += copy.as<bf16>()[i].bits != bf16(masters[i]).bits;
  CHECK(wrong == 0);
  CHECK(half.executor->memory(count).unshared_bytes <
        0.9 * static_cast<double>(f32.executor->memory(count).unshared_bytes));
}

TEST_CASE("executor: bf16 has the same bits eager or planned, with any threads, and continued from its masters") {
  auto after = [](ExecutorOptions options, uint32_t steps) {
    ResNet m(options);
    for (uint32_t step = 0; step < steps; ++step) m.step(step);
    return m.hash();
  };
  const uint64_t want = after(in_bf16(), 2);
  ExecutorOptions without = in_bf16();
  without.optimize.memory = false;
  CHECK(after(without, 2) == want);
  without.optimize.fuse = false;
  const uint64_t unfused = after(without, 2);
  without.optimize.plan = false;
  CHECK(after(without, 2) == unfused);
  {
    const ThreadsGuard three(3);
    CHECK(after(in_bf16(), 2) == want);
  }

  ResNet first(in_bf16()), resumed(in_bf16());
  first.step(0);
  const ModelState &from = *first.state, &to = *resumed.state;
  for (const auto& [a, b] :
       {std::pair{from.weights(), to.weights()}, std::pair{from.slot("momentum"), to.slot("momentum")},
        std::pair{from.running(), to.running()}})
    copy_convert(a, b);
  resumed.step(1);
  CHECK(resumed.hash() == want);
}

TEST_CASE("executor: bf16 gradients of micro-batches add up in f32") {
  const Batch first = random_batch(0, 6), second = random_batch(1, 2);
  ResNet a(in_bf16()), b(in_bf16()), both(in_bf16());
  a.executor->train(first, 0.75, true, false, 0);
  b.executor->train(second, 0.25, true, false, 0);
  both.executor->train(first, 0.75, true, false, 0);
  both.executor->train(second, 0.25, false, true, 0.01);
  double worst = 0;
  const float *ga = a.state->grads().as<float>(), *gb = b.state->grads().as<float>(),
              *g = both.state->grads().as<float>();
  for (int64_t i = 0; i < both.state->grads().numel(); ++i)
    worst = std::max<double>(worst, std::abs(ga[i] + gb[i] - g[i]));
  CHECK(worst == 0);
}
