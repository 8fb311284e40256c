// The table of rows as a whole: what ops record and rules make has rows, of as many operands as their kinds say.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "kernels/cases/cases.hpp"
#include "kernels/fusion.hpp"
#include "kernels/table.hpp"

using namespace rt;

namespace {

size_t words_of(std::string_view text) {
  size_t count = 0;
  for (size_t i = 0; i < text.size(); ++i) count += text[i] != ' ' && (i == 0 || text[i - 1] == ' ');
  return count;
}

// A step of a rule: "relu.forward: x -> y".
struct Written {
  explicit Written(std::string_view text) : kind(text.substr(0, text.find(':'))) {
    if (kind.size() == text.size()) return;
    const std::string_view operands = text.substr(kind.size() + 1);
    const size_t arrow = operands.find("->");
    has_operands = true;
    in = words_of(operands.substr(0, arrow));
    out = words_of(operands.substr(arrow + 2));
  }
  std::string_view kind;
  bool has_operands = false;
  size_t in = 0, out = 0;
};

std::vector<std::string_view> steps_of(const Gather& rule) {
  std::vector<std::string_view> steps = rule.from;
  steps.insert(steps.end(), rule.to.begin(), rule.to.end());
  return steps;
}
std::vector<std::string_view> steps_of(const InPlace& rule) {
  std::vector<std::string_view> steps;
  for (const InPlace::Pair& pair : rule.steps) {
    steps.push_back(pair.from);
    if (!pair.to.empty()) steps.push_back(pair.to);
  }
  return steps;
}
std::vector<std::string_view> steps_of(const Collect& rule) { return {rule.from, rule.to}; }
std::vector<std::string_view> all_steps(const Rewrite& rule) {
  return std::visit([](const auto& r) { return steps_of(r); }, rule.rule);
}

// "" where a row does such a step, and every one of its kind takes so many operands.
std::string problem_of(std::string_view kind, size_t in, size_t out, bool has_operands = true) {
  bool found = false;
  for (const Row& row : kernel_table()) {
    if (row.kind != kind) continue;
    found = true;
    if (has_operands && !row.kind.takes(in, out))
      return rt::format("{} is written with {} inputs and {} outputs; row {} declares {}", kind, in, out, row.name,
                        row.kind.text());
  }
  return found ? "" : rt::format("no row does {}", kind);
}

}  // namespace

TEST_CASE("table: every kind in a fusion rule has rows, of as many operands as the rule writes") {
  size_t seen = 0;
  for (const Rewrite& rule : fusion_rules()) {
    CAPTURE(rule.name);
    const std::vector<std::string_view> steps = all_steps(rule);
    for (const std::string_view text : steps) {
      const Written step(text);
      CHECK(problem_of(step.kind, step.in, step.out, step.has_operands) == "");
      seen += step.has_operands;
    }
    for (const std::string_view text : rule.new_steps())
      CHECK(std::find(steps.begin(), steps.end(), text) != steps.end());
  }
  CHECK(seen > 40);
}

TEST_CASE("table: every step that an op records has rows, of as many operands as it is recorded with") {
  std::set<std::string_view> recorded;
  for (const OpCase& c : small_cases())
    for (const DType dtype : {DType::f32, DType::bf16}) {
      CAPTURE(c.op);
      CAPTURE(c.label);
      CaseRun run(c, dtype, layouts_of(c)[0]);
      Tape tape(Tape::Mode::trace, kernel_table(), cpu_target());
      run.record(tape);
      for (const Step& step : tape.steps()) {
        recorded.insert(step.kind);
        CHECK(problem_of(step.kind, step.in.size(), step.out.size()) == "");
      }
    }
  for (const Rewrite& rule : fusion_rules())
    for (const std::string_view text : rule.new_steps()) recorded.insert(Written(text).kind);
  for (const Row& row : kernel_table()) {
    INFO("row ", row.name,
         " is of a kind that no case of src/kernels/cases records and no rule makes: ", std::string(row.kind.name()));
    CHECK(recorded.contains(row.kind.name()));
  }
}

TEST_CASE("table: rows of a kind name its operands alike, and what one may overwrite is an input of it") {
  std::map<std::string_view, std::string_view> texts;
  std::set<std::pair<std::string_view, std::string>> names;
  for (const Row& row : kernel_table()) {
    CAPTURE(row.name);
    CAPTURE(row.kind.text());
    CHECK(row.kind.text().find("->") != std::string_view::npos);
    CHECK(texts.emplace(row.kind.name(), row.kind.text()).first->second == row.kind.text());
    CHECK(!row.name.empty());
    CHECK(names.emplace(row.kind.name(), row.name).second);
    if (!row.overwrites.empty()) CHECK(row.kind.input(row.overwrites) >= 0);
  }
}
