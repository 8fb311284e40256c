#include "kernels/tuning.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

#include "core/build.hpp"
#include "core/clock.hpp"
#include "core/divide.hpp"
#include "core/log.hpp"
#include "core/rng.hpp"
#include "kernels/flops.hpp"

namespace rt {
namespace {

constexpr double worthwhile = 0.97;  // of the usual variant's time: less of a gain may be noise
constexpr double hopeless = 1.15;    // of the best one's
constexpr double too_short_ms = 1;   // a step that nobody would notice
constexpr int least_rounds = 2, most_rounds = 8;
constexpr size_t line = 64;

StepSpecs specs_of(const Plan& plan, const Step& step) {
  return {step, [&](Var v) -> const Spec& { return plan.spec(v); }};
}

std::string text_of(std::span<const Spec> specs) {
  std::string text;
  for (const Spec& s : specs) text += (text.empty() ? "" : " ") + s.str();
  return text;
}

struct Candidate {
  Variant variant;
  double ms;  // the best of its runs
};

// "64 (32: 3.141 ms, 64: 2.718 ms)": the variant, and what people may want to know.
std::string value_of(Variant variant, const std::vector<Candidate>& timed) {
  std::string text;
  for (const Candidate& c : timed)
    text += rt::format("{}{}: {:.3f} ms", text.empty() ? "" : ", ", c.variant.str(), c.ms);
  return rt::format("{} ({})", variant.str(), text);
}
std::optional<Variant> variant_of(std::string_view value) {
  const size_t timings = value.find(" (");
  if (timings == value.npos || !value.ends_with(")")) return {};
  return Variant::parse(value.substr(0, timings));
}
bool is_choice(const std::vector<std::string>& fields) { return fields.size() == 7 && variant_of(fields[6]); }
constexpr ChoiceFile::Format choice_format{"a choice of a kernel's variant", is_choice};

// Random numbers, repeated after every 64 Ki of them: caches and multipliers cannot tell.
void fill(const View& view) {
  const int64_t count = std::min<int64_t>(view.numel(), 1 << 16);
  Tensor numbers({{count}}), stored({{count}, view.spec.dtype});
  Rng rng(0, RngPurpose::sample);
  for (int64_t i = 0; i < count; ++i) numbers.as<float>()[i] = rng.uniform(-1, 1);
  copy_convert(numbers.view(), stored.view());
  auto* to = static_cast<std::byte*>(view.data);
  for (size_t done = 0, all = view.spec.bytes(); done < all; done += stored.spec().bytes())
    std::memcpy(to + done, stored.view().data, std::min(stored.spec().bytes(), all - done));
}

// A step with operands of its own in scratch memory.
class OnScratch {
 public:
  OnScratch(const Step& step, const Problem& problem, Arena& scratch) : step_(step) {
    std::vector<std::pair<View*, size_t>> places;
    for (const Spec& s : problem.in) in_.push_back({s});
    for (const Spec& s : problem.out) out_.push_back({s});
    size_t bytes = 0;
    auto take = [&](size_t wanted) { return std::exchange(bytes, bytes + round_up(wanted, line)); };
    for (auto* views : {&in_, &out_})
      for (View& v : *views) places.emplace_back(&v, take(v.spec.bytes()));
    const size_t workspace = take(workspace_bytes(*step.row, problem));
    scratch.reserve(bytes);
    for (const auto& [view, offset] : places) view->data = scratch.data() + offset;
    workspace_ = scratch.data() + workspace;
    for (const View& v : in_) fill(v);
  }
  double run_ms(Variant variant) const {
    const double began = now_ms();
    run_row(*step_.row, {.ops = step_.ops, .in = in_, .out = out_, .workspace = workspace_, .variant = variant});
    return now_ms() - began;
  }

 private:
  const Step& step_;
  std::vector<View> in_, out_;
  void* workspace_;
};

// Times the variants round by round, so that a machine that slows down meanwhile slows all of them, for about box_ms.
std::string timed(const OnScratch& step, const std::vector<Variant>& variants, double box_ms) {
  const double began = now_ms();
  std::vector<Candidate> all;
  for (const Variant& v : variants) {
    step.run_ms(v);  // warms up
    all.push_back({v, step.run_ms(v)});
    if (all[0].ms < too_short_ms) return value_of(v, all);
  }
  auto best = [&] { return *std::min_element(all.begin(), all.end(), [](auto& a, auto& b) { return a.ms < b.ms; }); };
  for (int round = 1; round < most_rounds && (round < least_rounds || now_ms() - began < box_ms); ++round)
    for (Candidate& c : all)
      if (&c == &all[0] || c.ms < hopeless * best().ms) c.ms = std::min(c.ms, step.run_ms(c.variant));
  return value_of(best().ms < worthwhile * all[0].ms ? best().variant : all[0].variant, all);
}

}  // namespace

Tuner::Tuner(const std::string& cache_file) : file_(cache_file, choice_format) {}

std::string Tuner::default_cache_file() { return user_cache_file("cpu-tuning.txt"); }

std::string Tuner::key_of(const Step& step, const Problem& problem) {
  return rt::format("{}\t{} threads\trtrain {}, {}, kernels {}\t{}\t{}\t{} -> {}", machine().cpu_model,
                    threads_in_use(), RT_VERSION, __VERSION__, build::kernels(), step.row->name, step.kind,
                    text_of(problem.in), text_of(problem.out));
}

void Tuner::tune(Plan& plan, Arena& scratch, double seconds) {
  struct Open {
    std::vector<size_t> steps;
    double work = 0;
  };
  std::map<std::string, Open> open;
  auto known = [&](size_t s, const std::string& key, const std::vector<Variant>& variants) {
    const auto value = file_.find(key);
    const std::optional<Variant> variant = value ? variant_of(*value) : std::nullopt;
    if (!variant || std::find(variants.begin(), variants.end(), *variant) == variants.end()) return false;
    plan.choose_variant(s, *variant, "tuned to " + *value);
    return true;
  };
  for (size_t s = 0; s < plan.steps().size(); ++s) {
    const Step& step = plan.steps()[s];
    if (!step.row->variants) continue;
    const StepSpecs specs = specs_of(plan, step);
    const Problem problem = specs.problem();
    const std::vector<Variant> variants = step.row->variants(problem);
    const std::string key = key_of(step, problem);
    if (variants.size() < 2 || known(s, key, variants)) continue;
    open[key].steps.push_back(s);
    open[key].work += work_of(*step.row, problem).flops_done;
  }
  if (open.empty()) return;

  std::vector<std::pair<std::string, Open>> order(open.begin(), open.end());
  std::stable_sort(order.begin(), order.end(), [](auto& a, auto& b) { return a.second.work > b.second.work; });
  const double began = now_ms(), end = began + 1e3 * seconds;
  size_t done = 0;
  for (; done < order.size() && now_ms() < end; ++done) {
    const auto& [key, group] = order[done];
    const Step& step = plan.steps()[group.steps[0]];
    log_status(rt::format("timing variants of {} steps, once: {}", order.size(), done + 1));
    const StepSpecs specs = specs_of(plan, step);
    const std::vector<Variant> variants = step.row->variants(specs.problem());
    const double box_ms = (end - now_ms()) / static_cast<double>(order.size() - done);
    file_.remember(key, timed(OnScratch(step, specs.problem(), scratch), variants, box_ms));
    for (const size_t s : group.steps) known(s, key, variants);
  }
  log_status("");
  timing_ms_ += now_ms() - began;
  log_info("tuned {} of {} steps in {:.1f} s{}{}", done, order.size(), 1e-3 * (now_ms() - began),
           file_.path().empty() ? "" : ", remembered in " + file_.path(),
           done < order.size() ? "; the rest follows when they are met again" : "");
}

}  // namespace rt
