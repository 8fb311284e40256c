// Which row of a table runs a step, and what is said where none fits.
#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "core/check.hpp"
#include "core/step.hpp"

using namespace rt;

TEST_CASE("step: when nothing fits the error lists why") {
  const Row rows[] = {
      {.kind = "f", .name = "cuda.fast", .device = Device::cuda, .min_capability = 80},
      {.kind = "f", .name = "cpu.wide", .min_capability = isa_avx512},
      {.kind = "f", .name = "cpu.even", .min_capability = isa_scalar, .refuse = [](const Problem& p) -> std::string {
         return p.in[0].shape[0] % 2 ? "odd size" : "";
       }}};
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

TEST_CASE("step: a row that a switch refuses opens no last resort, one that failed its self-test does") {
  const Row rows[] = {{.kind = "f", .name = "cpu.host", .last_resort = true},
                      {.kind = "f", .name = "cpu.winograd"},
                      {.kind = "f", .name = "cpu"}};
  const Spec spec[] = {{{4}}};
  auto with = [&](bool failed) {
    Target t{Device::cpu, isa_avx2, false};
    t.refused = std::make_shared<std::vector<RefusedRow>>(
        1, RefusedRow{.kind = "f", .name = "cpu.winograd", .reason = "a reason", .failed = failed});
    return t;
  };
  CHECK(select_row(rows, with(true), {.kind = "f", .in = spec, .out = spec}).name == "cpu.host");
  CHECK(select_row(rows, with(false), {.kind = "f", .in = spec, .out = spec}).name == "cpu");
  CHECK(explain_row(rows, with(false), {.kind = "f", .in = spec, .out = spec}) == "cpu (not cpu.winograd: a reason)");
  CHECK(explain_row(std::span(rows).subspan(1), with(true), {.kind = "f", .in = spec, .out = spec}) ==
        "cpu (not cpu.winograd: failed its self-test: a reason)");
}
