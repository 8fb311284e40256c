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
#include "tests/support/threads_guard.hpp"

using namespace rt;
using namespace rt::testing;

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
    params.push_back(p);
    grads.push_back(g);
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

TEST_CASE("plan: it runs with as many threads as it was made for") {
  const ThreadsGuard guard;
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
