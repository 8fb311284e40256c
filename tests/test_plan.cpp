// The engine itself: one list of steps, run as recorded or replayed from a planned arena, gives the same bits.
#include <doctest/doctest.h>

#include <cstring>

#include "core/plan.hpp"
#include "core/rng.hpp"
#include "kernels/batch_norm/batch_norm.hpp"
#include "kernels/conv2d/conv2d.hpp"
#include "kernels/cross_entropy/cross_entropy.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "kernels/fusion.hpp"
#include "kernels/linear/linear.hpp"
#include "kernels/pool/pool.hpp"
#include "kernels/table.hpp"

using namespace rt;

namespace {

// A net with every kind of join that ResNets have: a downsampling and an identity skip connection, then an SGD update.
struct TinyNet {
  std::vector<Tensor> owned;
  std::vector<Var> params, grads;
  Var loss, norm, probe;

  Tensor& filled(const Spec& spec, float low, float high) {
    owned.emplace_back(spec);
    Rng rng(5, RngPurpose::test, static_cast<uint32_t>(owned.size()));
    if (spec.dtype == DType::f32)
      for (int64_t i = 0; i < spec.shape.numel(); ++i) owned.back().as<float>()[i] = rng.uniform(low, high);
    return owned.back();
  }
  Var param(Tape& tape, Shape shape, float low, float high) {
    const Var p = tape.external(filled({shape}, low, high).view(), "w", true);
    const Var g = tape.external(filled({shape}, 0, 0).view(), "dw");
    tape.set_gradient_target(p, g, false);
    params.push_back(p), grads.push_back(g);
    return p;
  }
  Var conv_bn(Tape& tape, Var x, int64_t k, int64_t size, Conv2dAttrs attrs) {
    const Var y = conv2d(tape, x, param(tape, {k, tape.spec(x).shape.c(), size, size}, -0.4f, 0.4f), attrs);
    const Var gamma = param(tape, {k}, 0.5f, 1.5f), beta = param(tape, {k}, -0.2f, 0.2f);
    const Var mean = tape.external(filled({{k}}, 0, 0).view(), "rm"),
              var = tape.external(filled({{k}}, 1, 1).view(), "rv");
    return batch_norm(tape, y, gamma, beta, {mean, var}, {});
  }
  void record(Tape& tape, Layout layout) {
    owned.reserve(200);
    Var x = convert(tape, tape.external(filled({{4, 3, 8, 8}}, -1, 1).view(), "images"), DType::f32, layout);
    Tensor& labels = filled({{4}, DType::i32}, 0, 0);
    for (int i = 0; i < 4; ++i) labels.as<int32_t>()[i] = i % 3;
    x = relu(tape, conv_bn(tape, x, 8, 3, {1, 1}));
    x = max_pool(tape, x, {});
    const Var main = conv_bn(tape, relu(tape, conv_bn(tape, x, 16, 3, {2, 1})), 16, 3, {1, 1});
    const Var down = conv_bn(tape, x, 16, 1, {2, 0});
    x = relu(tape, add(tape, main, down));
    x = relu(tape, add(tape, conv_bn(tape, relu(tape, conv_bn(tape, x, 16, 3, {1, 1})), 16, 3, {1, 1}), x));
    probe = x;
    const Var logits =
        linear(tape, global_avg_pool(tape, x), param(tape, {3, 16}, -0.3f, 0.3f), param(tape, {3}, 0, 0));
    loss = cross_entropy(tape, logits, tape.external(labels.view(), "labels"), 0.1).loss;
    const Var one = tape.external(filled({{}}, 1, 1).view(), "dloss");
    tape.backward(loss, one);
  }
};

bool same_bits(const View& a, const View& b) {
  return a.spec == b.spec && std::memcmp(a.data, b.data, a.spec.bytes()) == 0;
}

}  // namespace

TEST_CASE("plan: replays give the eager tape's bits, with and without sharing memory and fusing, and after poisoning") {
  for (Layout layout : {Layout::nchw, Layout::nhwc}) {
    TinyNet eager;
    Tape tape(Tape::Mode::eager, kernel_table(), cpu_target());
    eager.record(tape, layout);
    for (bool memory : {false, true})
      for (bool fuse : {false, true}) {
        CAPTURE(memory);
        CAPTURE(fuse);
        TinyNet net;
        Tape trace(Tape::Mode::trace, kernel_table(), cpu_target());
        net.record(trace, layout);
        auto arena = std::make_shared<Arena>();
        Plan plan(std::move(trace), arena,
                  {fuse ? fusion_rules() : std::span<const Rewrite>{}, memory, {net.loss, net.probe}});
        CHECK(plan.rewritten("bn_add_relu.forward") == (fuse ? 2 : 0));
        CHECK(plan.rewritten("bn_relu.forward") == (fuse ? 3 : 0));
        CHECK(plan.rewritten("bn_relu.backward") == (fuse ? 3 : 0));
        CHECK(plan.rewritten("bn_add_relu.backward") == (fuse ? 2 : 0));
        for (int replay = 0; replay < 2; ++replay) {
          plan.replay();
          CHECK(same_bits(plan.view(net.loss), tape.view(eager.loss)));
          CHECK(same_bits(plan.view(net.probe), tape.view(eager.probe)));
          for (size_t i = 0; i < net.grads.size(); ++i)
            CHECK(same_bits(plan.view(net.grads[i]), tape.view(eager.grads[i])));
          std::memset(arena->data(), 0xff, arena->bytes());  // NaNs: a replay may rely on nothing left behind
          for (Var g : net.grads) fill_zero(plan.view(g));
        }
        CHECK(plan.arena_bytes() <= plan.unshared_bytes());
        if (memory)
          CHECK(plan.arena_bytes() * 10 < plan.unshared_bytes() * 9);  // workspaces are most of so small a net
      }
  }
}

TEST_CASE("plan: a rule leaves its steps alone where a value that vanishes is also an operand of the new step") {
  const Rewrite rule{"add_relu",
                     Gather{{"relu.forward: x -> t", "add.forward: t other -> y"}, {"add_relu.forward: x other -> y"}}};
  for (const bool same : {false, true}) {
    const Value value{.spec = {{4}}};
    const std::vector<Value> values(4, value);
    const Var x{0}, t{1}, other{2}, y{3};
    std::vector<Step> steps(2);
    steps[0].kind = "relu.forward", steps[0].in = {x}, steps[0].out = {t};
    steps[1].kind = "add.forward", steps[1].in = {t, same ? t : other}, steps[1].out = {y};
    const std::vector<Var> keep = {y};
    CHECK(rewrite(steps, values, std::span(&rule, 1), keep) == std::vector<int>{same ? 0 : 1});
    CHECK(steps.size() == (same ? 2 : 1));
  }
}

TEST_CASE("plan: steps of a kind that are alike become one, but for those that are waited for") {
  const Rewrite rule{
      "move.all", Collect{"move", "move.all", [](const Problem& a, const Problem& b) { return a.in[0] == b.in[0]; }}};
  std::vector<Value> values(9, Value{.spec = {{4}}});
  values[4].spec = values[5].spec = {{5}};
  const auto step = [](std::string_view kind, int in, int out) {
    Step s;
    s.kind = kind, s.in = {Var{in}}, s.out = {Var{out}}, s.label = rt::format("{}", out);
    return s;
  };
  const std::vector<Step> before = {step("move", 0, 1), step("move", 2, 3),  step("other", 1, 6), step("move", 4, 5),
                                    step("move", 3, 7), step("other", 0, 6), step("move", 0, 8),  step("other", 8, 6)};
  std::vector<Step> steps = before;
  CHECK(rewrite(steps, values, std::span(&rule, 1), {}) == std::vector<int>{1});
  REQUIRE(steps.size() == 7);  // 1 is read by another step, 3 by the move to 7, and 5 has another shape
  const Step& all = steps[5];
  CHECK(all.kind == "move.all");
  CHECK(all.in == std::vector<Var>{{3}, {0}});
  CHECK(all.out == std::vector<Var>{{7}, {8}});
  CHECK(all.label == "7");
  CHECK(steps[4].kind == "other");
  CHECK(steps[6].kind == "other");

  steps = before;
  CHECK(rewrite(steps, values, std::span(&rule, 1), {}, [](const Step&) { return false; }) == std::vector<int>{0});
  CHECK(steps.size() == before.size());
}

TEST_CASE("plan: it runs with as many threads as it was made for") {
  struct Threads {
    ~Threads() { set_threads(before); }
    int before = threads_in_use();
  } guard;
  TinyNet net;
  Tape trace(Tape::Mode::trace, kernel_table(), cpu_target());
  net.record(trace, Layout::nhwc);
  set_threads(2);
  Plan plan(std::move(trace), std::make_shared<Arena>(), {fusion_rules(), true, {net.loss}});
  for (const int others : {1, 3}) {
    set_threads(others);
    CHECK_THROWS_WITH_AS(plan.replay(), doctest::Contains("made for 2 threads"), Error);
  }
  set_threads(2);
  plan.replay();
}

TEST_CASE("plan: nothing is allocated before the first replay") {
  TinyNet net;
  Tape trace(Tape::Mode::trace, kernel_table(), cpu_target());
  net.record(trace, Layout::nhwc);
  auto arena = std::make_shared<Arena>();
  Plan plan(std::move(trace), arena, {});
  CHECK(plan.arena_bytes() > 0);
  CHECK(arena->bytes() == 0);
}

TEST_CASE("plan: explain names each chosen row") {
  TinyNet net;
  Tape trace(Tape::Mode::trace, kernel_table(), cpu_target());
  net.record(trace, Layout::nhwc);
  Plan plan(std::move(trace), std::make_shared<Arena>(), {fusion_rules()});
  const std::string text = plan.explain();
  CHECK(text.find("bn_add_relu.apply") != std::string::npos);
  CHECK(text.find("cpu") != std::string::npos);
}

TEST_CASE("select: when nothing fits the error lists why") {
  const Row rows[] = {
      {"f", "cuda.fast", Device::cuda, 80, nullptr, nullptr},
      {"f", "cpu.wide", Device::cpu, isa_avx512, nullptr, nullptr},
      {"f", "cpu.even", Device::cpu, isa_scalar,
       [](const Problem& p) -> std::string { return p.in[0].shape[0] % 2 ? "odd size" : ""; }, nullptr}};
  const Spec odd[] = {{{3}}}, even[] = {{{4}}};
  const Target target{Device::cpu, isa_avx2, false};
  CHECK(select_row(rows, target, {.kind = "f", .in = even, .out = even}).name == "cpu.even");
  try {
    select_row(rows, target, {.kind = "f", .in = odd, .out = odd});
    FAIL("must throw");
  } catch (const Error& e) {
    const std::string what = e.what();
    CHECK(what.find("cuda.fast: needs cuda") != std::string::npos);
    CHECK(what.find("cpu.wide: needs avx512") != std::string::npos);
    CHECK(what.find("cpu.even: odd size") != std::string::npos);
  }
}

TEST_CASE("select: a row that a switch refuses opens no last resort, one that failed its self-test does") {
  const Row rows[] = {{.kind = "f", .name = "cpu.host", .last_resort = true}, {"f", "cpu.winograd"}, {"f", "cpu"}};
  const Spec spec[] = {{{4}}};
  auto with = [&](bool failed) {
    Target t{Device::cpu, isa_avx2, false};
    t.refused = std::make_shared<std::vector<RefusedRow>>(1, RefusedRow{"f", "cpu.winograd", "a reason", failed});
    return t;
  };
  CHECK(select_row(rows, with(true), {.kind = "f", .in = spec, .out = spec}).name == "cpu.host");
  CHECK(select_row(rows, with(false), {.kind = "f", .in = spec, .out = spec}).name == "cpu");
  CHECK(explain_row(rows, with(false), {.kind = "f", .in = spec, .out = spec}) == "cpu (not cpu.winograd: a reason)");
  CHECK(explain_row(std::span(rows).subspan(1), with(true), {.kind = "f", .in = spec, .out = spec}) ==
        "cpu (not cpu.winograd: failed its self-test: a reason)");
}

TEST_CASE("tape: gradients accumulate into their targets across micro-batches") {
  Tensor x({{2, 4}}), w({{3, 4}}), b({{3}}), dw({{3, 4}}), db({{3}}), dy({{2, 3}});
  for (int i = 0; i < 8; ++i) x.as<float>()[i] = static_cast<float>(i);
  for (int i = 0; i < 6; ++i) dy.as<float>()[i] = 1;
  for (bool accumulate : {false, true}) {
    Tape tape(Tape::Mode::eager, kernel_table(), cpu_target());
    const Var vw = tape.external(w.view(), "w", true), vb = tape.external(b.view(), "b", true);
    tape.set_gradient_target(vw, tape.external(dw.view(), "dw"), accumulate);
    tape.set_gradient_target(vb, tape.external(db.view(), "db"), accumulate);
    const Var y = linear(tape, tape.external(x.view(), "x"), vw, vb);
    tape.backward(y, tape.external(dy.view(), "dy"));
    CHECK(db.as<float>()[0] == (accumulate ? 4.0f : 2.0f));
    CHECK(dw.as<float>()[1] == (accumulate ? 12.0f : 6.0f));
  }
}
