#include "tools/gradcheck.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/format.hpp"
#include "core/rng.hpp"
#include "kernels/table.hpp"
#include "tools/verbs.hpp"

namespace rt {
namespace {

constexpr double step_size = 1e-5;  // rounding 1e-16/h and truncation h^2 are both near 1e-10
constexpr int64_t most_elements = 48;

std::vector<int64_t> sample(int64_t count, uint32_t input) {
  std::vector<int64_t> list;
  if (count <= most_elements)
    for (int64_t i = 0; i < count; ++i) list.push_back(i);
  else
    for (uint32_t i : shuffled(static_cast<uint32_t>(count), 1, RngPurpose::test, input)) {
      if (static_cast<int64_t>(list.size()) == most_elements) break;
      list.push_back(i);
    }
  return list;
}

// Thousands of problems of a few microseconds: at more than one thread, waking the others is most of the time.
class OneThread {
 public:
  OneThread() { set_threads(1); }
  ~OneThread() { set_threads(before_); }
  OneThread(const OneThread&) = delete;

 private:
  const int before_ = threads_in_use();
};

std::vector<double> output(CaseRun& run, std::span<const Row> table) {
  Tape tape(Tape::Mode::eager, table, cpu_target());
  run.forward(tape);
  const View y = tape.view(run.out);
  return {y.as<double>(), y.as<double>() + y.numel()};
}

double numeric_gradient(CaseRun& run, double& element, std::span<const Row> table) {
  const double before = element;
  element = before + step_size;
  const std::vector<double> above = output(run, table);
  element = before - step_size;
  const std::vector<double> below = output(run, table);
  element = before;
  double change = 0;
  for (size_t j = 0; j < above.size(); ++j) change += run.direction.as<double>()[j] * (above[j] - below[j]);
  return change / (2 * step_size);
}

// NaN where there are no numbers to compare, which no tolerance accepts.
double worst_error(const std::vector<double>& analytic, const std::vector<double>& numeric) {
  double largest = 0, worst = 0;
  for (size_t i = 0; i < analytic.size(); ++i)
    largest = std::max({largest, std::abs(analytic[i]), std::abs(numeric[i])});
  for (size_t i = 0; i < analytic.size(); ++i) {
    const double scale = std::max({std::abs(analytic[i]), std::abs(numeric[i]), largest / 100, 1e-12});
    const double error = std::abs(analytic[i] - numeric[i]) / scale;
    if (!(error <= worst)) worst = error;
    if (std::isnan(worst)) break;
  }
  return worst;
}

void known_or_fail(const std::vector<std::string>& ops, const std::vector<OpCase>& cases) {
  for (const std::string& op : ops) {
    if (std::any_of(cases.begin(), cases.end(), [&](const OpCase& c) { return c.op == op; })) continue;
    std::vector<std::string_view> known;
    for (const OpCase& c : cases)
      if (std::find(known.begin(), known.end(), c.op) == known.end()) known.push_back(c.op);
    fail(ExitCode::usage, "gradcheck: no op is called '{}'; the ops are {}", op, joined(known, ", "));
  }
}

}  // namespace

std::vector<GradientCheck> check_gradients(const OpCase& c, Layout layout, std::span<const Row> table) {
  const OneThread guard;
  CaseRun run(c, DType::f64, layout);
  Tape tape(Tape::Mode::eager, table, cpu_target());
  run.record(tape);
  std::vector<GradientCheck> checks;
  for (size_t i = 0; i < c.in.size(); ++i) {
    if (!run.wants_gradient(i)) continue;
    const Var gradient = tape.gradient(run.in[i]);
    RT_CHECK(gradient, "gradcheck: {} {} records no gradient of '{}'", c.op, c.label, c.in[i].name);
    std::vector<double> analytic, numeric;
    double* x = run.values[i].as<double>();
    for (int64_t k : sample(run.values[i].spec().shape.numel(), static_cast<uint32_t>(i))) {
      analytic.push_back(tape.view(gradient).as<double>()[k]);
      numeric.push_back(numeric_gradient(run, x[k], table));
    }
    checks.push_back({.op = c.op,
                      .shape = c.label,
                      .input = c.in[i].name,
                      .layout = layout,
                      .error = worst_error(analytic, numeric),
                      .tolerance = 1e-6});
  }
  return checks;
}

std::string gradcheck_table(std::span<const GradientCheck> checks) {
  size_t op = 2, shape = 5, input = 5;
  for (const GradientCheck& c : checks) {
    op = std::max(op, c.op.size());
    shape = std::max(shape, c.shape.size());
    input = std::max(input, c.input.size());
  }
  std::string text =
      rt::format("{:<{}}  {:<{}}  {:<{}}  worst relative error  tolerance\n", "op", op, "shape", shape, "input", input);
  size_t failed = 0;
  for (const GradientCheck& c : checks) {
    text += rt::format("{:<{}}  {:<{}}  {:<{}}  {:>15.1e} {}  {:>9.0e}  {}\n", c.op, op, c.shape, shape, c.input, input,
                       c.error, name_of(c.layout), c.tolerance, c.ok() ? "ok" : "FAIL");
    failed += !c.ok();
  }
  return text + (failed ? rt::format("{} of {} gradients FAIL\n", failed, checks.size())
                        : rt::format("{} gradients ok\n", checks.size()));
}

std::string gradcheck_json(std::span<const GradientCheck> checks) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const GradientCheck& c : checks)
    list.push_back({{"op", c.op},
                    {"shape", c.shape},
                    {"input", c.input},
                    {"layout", name_of(c.layout)},
                    {"error", c.error},
                    {"tolerance", c.tolerance},
                    {"ok", c.ok()}});
  return list.dump(2) + "\n";
}

int run_gradcheck(const std::vector<std::string>& ops, bool json) {
  const std::vector<OpCase> cases = small_cases();
  known_or_fail(ops, cases);
  std::vector<GradientCheck> all;
  for (const OpCase& c : cases) {
    if (!c.has_backward || (!ops.empty() && std::find(ops.begin(), ops.end(), c.op) == ops.end())) continue;
    std::vector<GradientCheck> worst;
    for (Layout layout : layouts_of(c)) {
      std::vector<GradientCheck> checks = check_gradients(c, layout, kernel_table());
      if (worst.empty()) worst = checks;
      for (size_t i = 0; i < checks.size(); ++i)
        if (!(checks[i].error <= worst[i].error)) worst[i] = checks[i];
    }
    all.insert(all.end(), worst.begin(), worst.end());
  }
  rt::print("{}", json ? gradcheck_json(all) : gradcheck_table(all));
  return std::all_of(all.begin(), all.end(), [](const GradientCheck& c) { return c.ok(); }) ? 0 : 1;
}

const Verb gradcheck_verb = {
    .name = "gradcheck",
    .help = R"(Compare every op's gradient with finite differences in f64.

  rtrain gradcheck
  rtrain gradcheck conv2d batch_norm)",
    .add = [](CLI::App& command) -> std::function<int()> {
      struct Options {
        std::vector<std::string> ops;
        bool json = false;
      };
      const auto o = std::make_shared<Options>();
      command.add_option("ops", o->ops, "ops to check; all if none is named")->type_name("OP");
      command.add_flag("--json", o->json, "as JSON");
      return [o] { return run_gradcheck(o->ops, o->json); };
    },
};

}  // namespace rt
