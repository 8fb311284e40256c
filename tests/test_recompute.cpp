// Values made again instead of stored: where that is possible, where it is not, and that it changes no bit of a step.
#include <doctest/doctest.h>

#include <cstring>

#include "tests/support/training.hpp"

using namespace rt;
using namespace rt::testing;

namespace {

// Steps of any number of f32 vectors: every output's elements become the sum over all inputs' plus one.
void sum(const Args& a) {
  double total = 1;
  for (const View& v : a.in)
    for (int64_t i = 0; i < v.numel(); ++i) total += static_cast<double>(v.as<float>()[i]);
  for (const View& v : a.out)
    for (int64_t i = 0; i < v.numel(); ++i) v.as<float>()[i] = static_cast<float>(total / 64);
}
const Row rows[] = {{.kind = "plain", .name = "cpu", .run = sum},
                    {.kind = "cheap: x p -> y", .name = "cpu", .run = sum, .overwrites = "x"}};
constexpr std::string_view cheap[] = {"cheap"};
constexpr size_t unit = 4096;  // bytes of x and y; `large` has four times as many

// x = plain(in), y = cheap(x, p), some work that needs `large`, and late readers of y and, if `kept_anyway`, of x. What
// happens to p in between is the question.
struct Chain {
  Tensor in{{{4}}}, p{{{16}}}, result{{{16}}};
  Var y;
  std::unique_ptr<Plan> plan;
  std::shared_ptr<Arena> arena = std::make_shared<Arena>();

  enum class Between { nothing, writes_p, writes_half_of_p, writes_beside_p };
  explicit Chain(Recompute what, Between between = Between::nothing, bool kept_anyway = true, bool keep_y = false) {
    in.as<float>()[0] = 3;
    Tape tape(Tape::Mode::trace, rows, cpu_target());
    const Var images = tape.external(in.view(), "in");
    const Var half = tape.external({{{8}}, p.as<float>()}, "p"), same = tape.external({{{12}}, p.as<float>() + 4}, "q"),
              beside = tape.external({{{8}}, p.as<float>() + 8}, "r"), out = tape.external(result.view(), "result");
    const Shape small{16}, medium{static_cast<int64_t>(unit / 4)}, large{static_cast<int64_t>(unit)};
    const Var x = tape.make({medium}), early = tape.make({small}), work = tape.make({large}), done = tape.make({small});
    y = tape.make({medium});
    tape.step("plain", OpPtr{}, {images}, {x});
    tape.step("cheap", OpPtr{}, {x, half}, {y});
    tape.step("plain", OpPtr{}, {y}, {early});
    tape.step("plain", OpPtr{}, {early}, {work});
    tape.step("plain", OpPtr{}, {work}, {done});
    if (between != Between::nothing)
      tape.step("plain", OpPtr{}, {done},
                {between == Between::writes_p           ? half
                 : between == Between::writes_half_of_p ? same
                                                        : beside});
    std::vector<Var> late{y, done};
    if (kept_anyway) late.push_back(x);
    tape.step("plain", OpPtr{}, late, {out});
    PlanOptions options;
    if (keep_y) options.keep = {y};
    options.recompute = {what, cheap, {}};
    plan = std::make_unique<Plan>(std::move(tape), arena, options);
  }
  float run() {
    plan->replay();
    return result.as<float>()[0];
  }
};

}  // namespace

TEST_CASE(
    "recompute: a cheap step is repeated before its late reader, and only where that is the same and saves memory") {
  using Between = Chain::Between;
  Chain stored(Recompute::none), again(Recompute::cheap);
  CHECK(stored.plan->repeated() == 0);
  REQUIRE(again.plan->repeated() == 1);
  CHECK(again.plan->arena_bytes() + unit == stored.plan->arena_bytes());  // y is not there beside x and `large`
  CHECK(again.plan->unshared_bytes() == stored.plan->unshared_bytes());
  const std::vector<Step>& steps = again.plan->steps();
  CHECK(steps[5].kind == "cheap");
  CHECK(steps[5].in[0] == steps[1].in[0]);
  CHECK(steps[6].in[0] == steps[5].out[0]);
  CHECK(steps[2].in[0] == steps[1].out[0]);
  CHECK(again.run() == stored.run());
  CHECK(again.run() == stored.run());  // x has not been overwritten by what was made of it

  for (const Between between : {Between::writes_p, Between::writes_half_of_p, Between::writes_beside_p}) {
    Chain a(Recompute::none, between), b(Recompute::cheap, between);
    CHECK(b.plan->repeated() == (between == Between::writes_beside_p ? 1 : 0));
    CHECK(a.run() == b.run());
  }
  CHECK(Chain(Recompute::cheap, Between::nothing, false).plan->repeated() == 0);       // x would have to wait instead
  CHECK(Chain(Recompute::cheap, Between::nothing, true, true).plan->repeated() == 0);  // y is asked for afterwards
}

namespace {

int64_t side_of(const ModelConfig& config) { return config.stem == "imagenet" ? 64 : 32; }

// After some updates of two micro-batches, which hold the same images.
uint64_t hash_after(int steps, Training& t, int64_t images) {
  for (int s = 0; s < steps; ++s) {
    const Batch b = random_batch(static_cast<uint32_t>(s), images, side_of(t.net->config()));
    t.executor->train(b, 0.5, true, false, 0);
    t.executor->train(b, 0.5, false, true, 0.05);
  }
  return t.hash();
}

}  // namespace

TEST_CASE("recompute: weights, gradients, momentum and statistics have the same bits after two updates") {
  constexpr int64_t images = 8;
  const ModelConfig configs[] = {{.arch = "resnet18", .stem = "cifar", .width = 8},
                                 {.arch = "resnet18", .stem = "imagenet", .width = 8},
                                 {.arch = "resnet50", .stem = "cifar", .width = 8}};
  for (const ModelConfig& config : configs)
    for (const bool fuse : {true, false}) {
      if (!fuse && config.arch == "resnet50") continue;
      CAPTURE(config.arch);
      CAPTURE(config.stem);
      CAPTURE(fuse);
      uint64_t expected = 0;
      int64_t bytes = 0;
      for (const std::string what : {"none", "cheap", "blocks"}) {
        ExecutorOptions options;
        options.optimize.fuse = fuse;
        options.optimize.recompute = what;
        Training t(config, options, images, side_of(config));
        const uint64_t hash = hash_after(2, t, images);
        const int64_t arena = t.executor->memory(images).arena_bytes;
        if (what == "none") {
          expected = hash;
        } else {
          CHECK(hash == expected);
          // Unfused, the input of a ReLU is gone: only blocks help.
          CHECK((what == "cheap" && !fuse ? arena <= bytes : arena < bytes));
        }
        bytes = arena;
      }
    }
}

TEST_CASE("recompute: what a step of ResNet-18 and ResNet-50 saves, for tracing alone") {
  auto arena_mib = [](const std::string& arch, const std::string& what) {
    ExecutorOptions options;
    options.optimize.recompute = what;
    return static_cast<double>(Training({arch, "cifar", 10}, options, 128, 32).executor->memory(128).arena_bytes) /
           (1 << 20);
  };
  // A batch of 128 has 32 MiB per value in layer1 and 16 in layer2. Three of the former and two of the latter are
  // outputs of blocks or the stem (convolutions compute what lies within a block as they read); but for one or two that
  // are in use, none is there at the peak.
  const double stored = arena_mib("resnet18", "none"), cheap = arena_mib("resnet18", "cheap"),
               blocks = arena_mib("resnet18", "blocks");
  CHECK(stored - cheap > 3 * 32 + 2 * 16 - 2 * 32);
  CHECK(cheap - blocks > 3 * 32);  // of one block's convolutions
  const double deep = arena_mib("resnet50", "none");
  CHECK(arena_mib("resnet50", "cheap") < 0.75 * deep);
  CHECK(arena_mib("resnet50", "blocks") < 0.4 * deep);
}
