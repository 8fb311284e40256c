// Rules that turn steps into others, on lists of steps that nobody runs.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/rewrite.hpp"

using namespace rt;

TEST_CASE("rewrite: a rule leaves its steps alone where a value that vanishes is also an operand of the new step") {
  const Rewrite rule{"add_relu",
                     Gather{{"relu.forward: x -> t", "add.forward: t other -> y"}, {"add_relu.forward: x other -> y"}}};
  for (const bool same : {false, true}) {
    const Value value{.spec = {{4}}};
    const std::vector<Value> values(4, value);
    const Var x{0}, t{1}, other{2}, y{3};
    std::vector<Step> steps(2);
    steps[0].kind = "relu.forward";
    steps[0].in = {x};
    steps[0].out = {t};
    steps[1].kind = "add.forward";
    steps[1].in = {t, same ? t : other};
    steps[1].out = {y};
    const std::vector<Var> keep = {y};
    CHECK(rewrite(steps, values, std::span(&rule, 1), keep) == std::vector<int>{same ? 0 : 1});
    CHECK(steps.size() == (same ? 2 : 1));
  }
}

TEST_CASE("rewrite: steps of a kind that are alike become one, but for those that are waited for") {
  const Rewrite rule{
      "move.all", Collect{"move", "move.all", [](const Problem& a, const Problem& b) { return a.in[0] == b.in[0]; }}};
  std::vector<Value> values(9, Value{.spec = {{4}}});
  values[4].spec = values[5].spec = {{5}};
  const auto step = [](std::string_view kind, int in, int out) {
    Step s;
    s.kind = kind;
    s.in = {Var{in}};
    s.out = {Var{out}};
    s.label = rt::format("{}", out);
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
