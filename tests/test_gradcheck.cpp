// The gradient check passes on every case, and is able to fail.
#include <doctest/doctest.h>

#include <cmath>

#include "kernels/batch_norm/batch_norm.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "kernels/table.hpp"
#include "tools/gradcheck.hpp"

using namespace rt;

namespace {

// relu whose backward forgets the mask.
class MasklessRelu final : public Op {
 public:
  std::string_view name() const override { return "maskless_relu"; }
  std::vector<Spec> infer(std::span<const Spec> in) const override { return {in[0]}; }
  void forward(Tape& tape, std::span<const Var> in, std::span<const Var> out) const override {
    tape.step("relu.forward", this, {in[0]}, {out[0]});
  }
  void backward(Tape&, Gradients& g) const override { g.pass(0, g.dout[0]); }
};

const OpCase& case_of(const std::vector<OpCase>& cases, std::string_view op) {
  for (const OpCase& c : cases)
    if (c.op == op) return c;
  FAIL("no such case");
  return cases[0];
}

}  // namespace

TEST_CASE("gradcheck: every op and every small net, in both layouts, agrees with central differences") {
  int inputs = 0;
  for (const OpCase& c : small_cases()) {
    if (!c.has_backward) continue;
    for (Layout layout : layouts_of(c)) {
      int of_case = 0;
      for (const GradientCheck& check : check_gradients(c, layout, kernel_table())) {
        const std::string where = rt::format("{} {} {}", check.op, check.shape, name_of(layout));
        INFO(where, ": d ", check.input, " is off by ", check.error);
        CHECK(check.ok());
        ++of_case;
      }
      CHECK(of_case > 0);
      inputs += of_case;
    }
  }
  CHECK(inputs > 100);
}

TEST_CASE("gradcheck: a backward that forgets relu's mask is reported") {
  const OpCase wrong{"maskless_relu",
                     "[3,7]",
                     {{"x", {3, 7}, Role::activation, Fill::off_zero, 0.1f, 1}},
                     [](Tape& t, std::span<const Var> v) { return t.apply(std::make_shared<MasklessRelu>(), {v[0]}); }};
  const std::vector<GradientCheck> checks = check_gradients(wrong, Layout::nchw, kernel_table());
  REQUIRE(checks.size() == 1);
  CHECK(checks[0].error > 0.9);
  CHECK_FALSE(checks[0].ok());
  CHECK(gradcheck_table(checks).find("FAIL") != std::string::npos);
  CHECK(gradcheck_json(checks).find("\"ok\": false") != std::string::npos);
}

TEST_CASE("gradcheck: a kernel whose gradient is off by one part in a hundred thousand, or not a number, is reported") {
  std::vector<Row> table(kernel_table().begin(), kernel_table().end());
  auto replace = [&](void (*run)(const Args&)) {
    table.insert(table.begin(), {.kind = kinds::batch_norm_dx, .name = "test.wrong", .run = run});
  };
  const std::vector<OpCase> cases = small_cases();
  replace([](const Args& a) {
    cpu::reference::batch_norm_dx(a);
    for (int64_t i = 0; i < a.out[0].numel(); ++i) a.out[0].as<double>()[i] *= 1 + 1e-5;
  });
  for (const GradientCheck& check : check_gradients(case_of(cases, "batch_norm"), Layout::nhwc, table))
    CHECK(check.ok() == (check.input != "x"));
  replace([](const Args& a) {
    for (int64_t i = 0; i < a.out[0].numel(); ++i) a.out[0].as<double>()[i] = std::nan("");
  });
  for (const GradientCheck& check : check_gradients(case_of(cases, "batch_norm"), Layout::nhwc, table))
    CHECK(check.ok() == (check.input != "x"));
}

TEST_CASE("gradcheck: an unknown op is a usage error that lists the known ones") {
  try {
    run_gradcheck({"relu", "conv3d"}, false);
    FAIL("must throw");
  } catch (const Error& e) {
    CHECK(e.code() == ExitCode::usage);
    const std::string what = e.what();
    CHECK(what.find("'conv3d'") != std::string::npos);
    for (const OpCase& c : small_cases()) CHECK(what.find(c.op) != std::string::npos);
  }
}
