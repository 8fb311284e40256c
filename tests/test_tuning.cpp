// Variants of a row: every one gives the same bits in the workspace that the row asks for; the tuner takes the fastest,
// and remembers it where it should.
#include <doctest/doctest.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <thread>

#include "bench/workload.hpp"
#include "kernels/conv2d/conv2d.hpp"
#include "kernels/tuning.hpp"
#include "tests/support/run_row.hpp"
#include "tests/support/temp_folder.hpp"
#include "tests/support/threads_guard.hpp"

using namespace rt;
using namespace rt::testing;

namespace {

struct Conv {
  int64_t n, c, size, k;
  int stride;
};

// What a step of a convolution reads and writes.
struct Case {
  Kind kind;
  OpPtr op;
  std::vector<Spec> in, out;
  Case(const Row& row, const Conv& s) : kind(row.kind) {
    Tape tape(Tape::Mode::trace, kernel_table(), cpu_target());
    const Spec x = nhwc({s.n, s.c, s.size, s.size}), w{{s.k, s.c, 3, 3}};
    const Spec y = tape.spec(conv2d(tape, tape.make(x), tape.make(w), {.stride = s.stride, .pad = 1}));
    op = tape.steps()[0].ops[0];
    if (kind == "conv2d.forward") {
      in = {x, w};
      out = {y};
    }
    if (kind == "conv2d.dx") {
      in = {y, w};
      out = {x};
    }
    if (kind == "conv2d.dw") {
      in = {y, x};
      out = {w};
    }
    if (kind == "conv2d.backward") {
      in = {y, x, w};
      out = {x, w};
    }
  }
  Problem problem() const { return {.kind = kind, .ops = {&op, 1}, .in = in, .out = out}; }
  std::vector<Tensor> run(const Row& row, Variant variant) const {
    std::vector<Tensor> memory;
    std::vector<View> from, to;
    for (size_t i = 0; i < in.size(); ++i) memory.push_back(random(in[i], static_cast<uint32_t>(i)));
    for (const Tensor& t : memory) from.push_back(t.view());
    std::vector<Tensor> results;
    for (const Spec& s : out) results.emplace_back(s);
    for (const Tensor& t : results) {
      to.push_back(t.view());
      std::memset(to.back().data, 0xff, t.spec().bytes());
    }
    const Storage workspace(workspace_bytes(row, problem()));
    std::memset(workspace.data(), 0xff, workspace.bytes());
    run_row(row, {.ops = {&op, 1}, .in = from, .out = to, .workspace = workspace.data(), .variant = variant});
    return results;
  }
};

// y = x, in as many milliseconds as the variant that runs is said to need: the first, second (which prefetches) or
// third.
double needed_ms[4] = {};
int runs = 0;
int64_t latest = 0;
int64_t number_of(const Variant& v) { return v.block + (v.prefetch ? 1 : 0); }
const Row sleeper[] = {{.kind = "sleep",
                        .name = "cpu.sleeper",
                        .run =
                            [](const Args& a) {
                              ++runs;
                              latest = number_of(a.variant);
                              const double ms = needed_ms[latest == 0 ? 1 : latest];
                              std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(ms));
                              std::memcpy(a.out[0].data, a.in[0].data, a.in[0].spec.bytes());
                            },
                        .variants =
                            [](const Problem&) {
                              return std::vector<Variant>{{1}, {1, true}, {3}};
                            }}};

struct Sleep {
  Tensor x = random({{64}}, 1), y{{{64}}};
  std::shared_ptr<Arena> arena = std::make_shared<Arena>();
  Plan plan;
  Sleep(double first, double second, double third) : plan(trace(), arena, {}) {
    needed_ms[1] = first;
    needed_ms[2] = second;
    needed_ms[3] = third;
    runs = 0;
  }
  Tape trace() const {
    Tape tape(Tape::Mode::trace, sleeper, cpu_target());
    tape.step("sleep", OpPtr(), {tape.external(x.view(), "x")}, {tape.external(y.view(), "y")});
    return tape;
  }
  int64_t tuned(Tuner& tuner, double seconds = 0.05) {
    tuner.tune(plan, *arena, seconds);
    return number_of(plan.steps()[0].variant);
  }
};

int64_t lines_of(const std::string& text) { return std::count(text.begin(), text.end(), '\n'); }

}  // namespace

TEST_CASE("tuning: every variant of every row gives the same bits, in the workspace that the row asks for") {
  const ThreadsGuard guard;
  // Many tiles with few channels, where threads work alone, and few images or many channels, where they work together.
  const Conv shapes[] = {{9, 16, 22, 32, 1}, {17, 32, 17, 16, 2}, {5, 16, 30, 32, 1}, {12, 144, 24, 128, 1},
                         {6, 32, 60, 48, 2}, {5, 16, 20, 32, 1}};  // the last one: one block, or several halves
  int64_t tried = 0;
  for (const char* kind : {"conv2d.forward", "conv2d.dx", "conv2d.dw", "conv2d.backward"})
    for (const Row* row : vector_rows(kind)) {
      if (!row->variants) continue;
      for (const Conv& s : shapes) {
        const Case step(*row, s);
        INFO(std::string(kind) << " " << row->name << " " << step.in[0].str());
        set_threads(2);
        const std::vector<Tensor> expected = step.run(*row, {});
        for (const int threads : {1, 2, 3, 16}) {
          set_threads(threads);
          const std::vector<Variant> variants = row->variants(step.problem());
          const bool fixed = s.stride == 2 && (row->kind == "conv2d.dw" || row->kind == "conv2d.backward");
          REQUIRE(variants.size() > 1);
          REQUIRE((variants.size() == 2) == fixed);
          for (const Variant& variant : variants) {
            CAPTURE(variant.str());
            CHECK(Variant::parse(variant.str()) == variant);
            CAPTURE(threads);
            const std::vector<Tensor> found = step.run(*row, variant);
            for (size_t i = 0; i < found.size(); ++i) CHECK(same_bits(found[i], expected[i]));
            ++tried;
          }
        }
      }
    }
  CHECK(tried >= 6 * 4 * 4 * 2);
}

TEST_CASE("tuning: the fastest variant is taken, shown and replayed, and no state is written on the way") {
  Sleep s(60, 5, 30);
  Tuner tuner("");
  s.y.as<float>()[0] = 42;
  CHECK(s.tuned(tuner) == 2);
  CHECK(s.y.as<float>()[0] == 42);
  CHECK(tuner.timing_ms() > 60 + 5 + 30);
  CHECK(s.plan.explain().find("cpu.sleeper, tuned to 1 prefetch (1: ") != std::string::npos);
  s.plan.replay();
  CHECK(latest == 2);
  CHECK(same_bits(s.x, s.y));

  Sleep again(60, 5, 30);  // the same step in another plan
  CHECK(again.tuned(tuner) == 2);
  CHECK(runs == 0);
}

TEST_CASE("tuning: the usual variant stays where others are slower, where the step is short, and where time is up") {
  Sleep slower(5, 30, 60), brief(0, 0, 0), late(60, 5, 30);
  Tuner tuner("");
  needed_ms[1] = 5;
  needed_ms[2] = 30;
  needed_ms[3] = 60;
  CHECK(slower.tuned(tuner) == 1);
  needed_ms[1] = needed_ms[2] = needed_ms[3] = 0;
  runs = 0;
  Tuner other("");
  CHECK(brief.tuned(other) == 1);
  CHECK(runs == 2);  // of the usual one alone
  runs = 0;
  Tuner hasty("");
  CHECK(late.tuned(hasty, 0) == 0);
  CHECK(runs == 0);
}

TEST_CASE("tuning: choices are remembered in a file, by number of threads, and damage to it is survived") {
  const ThreadsGuard guard;
  const TempFolder folder;
  const std::string file = folder / "deep/tuning.txt";
  set_threads(2);
  auto tuned = [&](double first, double second) {
    Sleep s(first, second, 60);
    Tuner tuner(file);
    return s.tuned(tuner);
  };
  CHECK(tuned(40, 5) == 2);
  const std::string before = folder.read("deep/tuning.txt");
  CHECK(lines_of(before) == 1);
  for (const std::string& part :
       {machine().cpu_model, std::string("2 threads"), std::string("cpu.sleeper"), std::string("[64] f32")})
    CHECK(before.find(part) != std::string::npos);

  CHECK(tuned(5, 40) == 2);  // read, not timed again
  CHECK(runs == 0);
  CHECK(folder.read("deep/tuning.txt") == before);

  set_threads(1);
  CHECK(tuned(5, 40) == 1);
  CHECK(lines_of(folder.read("deep/tuning.txt")) == 2);
  set_threads(2);
  CHECK(tuned(5, 40) == 2);

  // A variant that there is not, one that is no number, nonsense, and a line that was cut off.
  const std::string key = before.substr(0, before.rfind('\t') + 1);
  for (const std::string& damage :
       {key + "9 (1: 2 ms)\n", key + "two (1: 2 ms)\n", key + "\n", std::string("\x01\n\t\t\n"),
        before.substr(0, before.size() - 1), before.substr(0, before.size() / 2)}) {
    CAPTURE(damage);
    folder.write("deep/tuning.txt", damage);
    CHECK(tuned(5, 40) == 1);
    const std::string repaired = folder.read("deep/tuning.txt");
    CHECK(repaired.starts_with(damage));
    CHECK(tuned(40, 5) == 1);
    CHECK(runs == 0);
    CHECK(folder.read("deep/tuning.txt") == repaired);
  }

  const std::string in_the_way = folder.write("file.txt", "");
  Sleep s(40, 5, 60);
  Tuner tuner(in_the_way + "/tuning.txt");  // cannot be written
  CHECK(s.tuned(tuner) == 2);
}

TEST_CASE(
    "tuning: training steps are tuned into the user's cache, unless optimize.autotune=false; the rows stay the same") {
  const CacheFolder folder;
  auto stepped = [](bool autotune) {
    Workload w({.batch = 9, .settings = {autotune ? "optimize.autotune=true" : "optimize.autotune=false"}});
    const std::string rows = w.executor().rows(9);
    w.step();
    w.finish();
    CHECK(w.executor().rows(9) == rows);
    CHECK((w.executor().explain(9).find("tuned to") != std::string::npos) == autotune);
    w.step();
    w.finish();
    return w.loss();
  };
  const double loss = stepped(false);
  CHECK(std::filesystem::is_empty(folder.path));
  CHECK(stepped(true) == loss);
  CHECK(lines_of(folder.read("rtrain/cpu-tuning.txt")) > 0);
}
