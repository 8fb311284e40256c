#include "core/step.hpp"

#include <charconv>
#include <cstdlib>
#include <set>

#include "core/cuda.hpp"
#include "core/log.hpp"

namespace rt {

Target cpu_target() { return {Device::cpu, machine().isa, false}; }

Target cuda_target() {
  const cuda::DeviceInfo& device = cuda::support().devices.at(static_cast<size_t>(cuda::device_in_use()));
  Target t{Device::cuda, device.capability, false};
  if (const char* forced = std::getenv("RT_FORCE_SM"); forced && *forced) {
    char* end = nullptr;
    const long capability = std::strtol(forced, &end, 10);
    if (*end != '\0' || capability < 10 || capability > device.capability)
      fail(ExitCode::usage, "RT_FORCE_SM={}: a number is expected, as 61, up to the {} that {} has", forced,
           device.capability, device.name);
    t.capability = static_cast<int>(capability);
  }
  return t;
}

void* stream_of(const Target& target) { return target.device == Device::cuda ? cuda::compute_stream() : nullptr; }

namespace {
std::string refusal(const Row& row, const Target& target, const Problem& problem) {
  if (row.device != target.device) return rt::format("needs {}", name_of(row.device));
  bool any_failed = false;
  if (target.refused)
    for (const RefusedRow& r : *target.refused) {
      if (r.kind != row.kind) continue;
      if (r.name == row.name) return r.failed ? "failed its self-test: " + r.reason : r.reason;
      any_failed |= r.failed;
    }
  if (row.last_resort && !any_failed) return "only where a self-test failed";
  if (!row.kind.takes(problem.in.size(), problem.out.size()))
    return rt::format("is for {}, not for {} inputs and {} outputs", row.kind.text(), problem.in.size(),
                      problem.out.size());
  if (target.capability < row.min_capability)
    return target.device == Device::cpu
               ? rt::format("needs {}", name_of(static_cast<Isa>(row.min_capability)))
               : rt::format("needs compute capability {}", capability_text(row.min_capability));
  Problem asked = problem;
  asked.capability = target.capability;
  return refusal_of(row, asked);
}
std::string describe(const Problem& problem) {
  std::string s;
  for (const Spec& spec : problem.in) s += (s.empty() ? "" : ", ") + spec.str();
  s += " ->";
  for (const Spec& spec : problem.out) s += " " + spec.str();
  return s;
}
}  // namespace

const Spec& Problem::input(std::string_view operand) const {
  const Spec* found = find_input(operand);
  RT_CHECK(found, "{}: there is no input '{}'", kind.text(), operand);
  return *found;
}
const Spec& Problem::output(std::string_view operand) const {
  const Spec* found = find_output(operand);
  RT_CHECK(found, "{}: there is no output '{}'", kind.text(), operand);
  return *found;
}
const View& Args::input(std::string_view operand) const {
  const View* found = find_input(operand);
  RT_CHECK(found, "{}: there is no input '{}'", kind.text(), operand);
  return *found;
}
const View& Args::output(std::string_view operand) const {
  const View* found = find_output(operand);
  RT_CHECK(found, "{}: there is no output '{}'", kind.text(), operand);
  return *found;
}

std::string refusal_of(const Row& row, Problem problem) {
  problem.kind = row.kind;
  return row.refuse ? row.refuse(problem) : "";
}
size_t workspace_bytes(const Row& row, Problem problem) {
  problem.kind = row.kind;
  return row.workspace ? row.workspace(problem) : 0;
}
void run_row(const Row& row, Args args) {
  args.kind = row.kind;
  row.run(args);
}

const Row& select_row(std::span<const Row> table, const Target& target, const Problem& problem) {
  const std::string_view kind = problem.kind;
  const Row* found = nullptr;
  std::string refusals;
  for (const Row& row : table) {
    if (row.kind != kind) continue;
    const std::string why = refusal(row, target, problem);
    if (why.empty()) {
      found = &row;
      if (!target.reference_only) return row;
    } else {
      refusals += rt::format("\n  {}: {}", row.name, why);
    }
  }
  if (found) return *found;
  for (const Row& row : table) {  // what would be an error otherwise
    if (row.kind != kind || row.device != target.device || !row.last_resort) continue;
    static std::set<std::string> said;
    if (said.insert(std::string(kind) + refusals).second)
      log_warning("{}: no {} implementation fits {}, it is computed by {}, slowly{}", kind, name_of(target.device),
                  describe(problem), row.name, refusals);
    return row;
  }
  fail(ExitCode::device, "no implementation of {} fits {} on {}{}", kind, describe(problem), name_of(target.device),
       refusals.empty() ? " (the table has no row for it)" : refusals);
}

std::string Variant::str() const { return rt::format("{}{}", block, prefetch ? " prefetch" : ""); }

std::optional<Variant> Variant::parse(std::string_view text) {
  Variant v;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v.block);
  const std::string_view rest = text.substr(static_cast<size_t>(end - text.data()));
  v.prefetch = rest == " prefetch";
  if (error != std::errc() || v.block <= 0 || (!rest.empty() && !v.prefetch)) return {};
  return v;
}

const Row* find_row(std::span<const Row> table, const Target& target, const Problem& problem) {
  const Row* found = nullptr;
  for (const Row& row : table) {
    if (row.kind != problem.kind || !refusal(row, target, problem).empty()) continue;
    if (!target.reference_only) return &row;
    if (row.algorithm == Algorithm::reference) found = &row;
  }
  return found;
}

std::string explain_row(std::span<const Row> table, const Target& target, const Problem& problem) {
  std::string skipped;
  for (const Row& row : table) {
    if (row.kind != problem.kind || row.device != target.device) continue;
    const std::string why = refusal(row, target, problem);
    if (row.last_resort && !why.empty()) continue;
    if (why.empty() && !target.reference_only)
      return rt::format("{}{}", row.name, skipped.empty() ? "" : " (not " + skipped + ")");
    if (why.empty()) continue;
    skipped += rt::format("{}{}: {}", skipped.empty() ? "" : ", ", row.name, why);
  }
  return select_row(table, target, problem).name + (target.reference_only ? " (optimize.select=false)" : "");
}

}  // namespace rt
