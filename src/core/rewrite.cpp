#include "core/rewrite.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>

namespace rt {
namespace {

struct Pattern {
  std::string_view kind;
  std::vector<std::string> in, out;
};

Pattern parse(std::string_view text) {
  Pattern p;
  const size_t colon = text.find(':');
  RT_CHECK(colon != std::string_view::npos, "rewrite rule '{}' has no ':'", text);
  p.kind = text.substr(0, colon);
  std::istringstream words{std::string(text.substr(colon + 1))};
  bool after_arrow = false;
  for (std::string word; words >> word;) {
    if (word == "->")
      after_arrow = true;
    else
      (after_arrow ? p.out : p.in).push_back(word);
  }
  return p;
}

using Binding = std::map<std::string, Var>;

bool unify(const std::vector<std::string>& names, const std::vector<Var>& vars, Binding& binding) {
  if (names.size() != vars.size()) return false;
  for (size_t i = 0; i < names.size(); ++i) {
    auto [it, fresh] = binding.try_emplace(names[i], vars[i]);
    if (!fresh && it->second != vars[i]) return false;
  }
  return true;
}

bool unify_step(const Pattern& p, const Step& s, Binding& binding) {
  const Binding before = binding;
  if (unify(p.in, s.in, binding) && unify(p.out, s.out, binding)) return true;
  if (s.kind != "accumulate") return false;
  binding = before;  // a + b is b + a
  return unify(p.in, {s.in.rbegin(), s.in.rend()}, binding) && unify(p.out, s.out, binding);
}

struct Match {
  std::vector<size_t> at;
  Binding binding;
};

// Steps `from[k...]` matched at or after position `start`.
std::optional<Match> match(const std::vector<Step>& steps, const std::vector<Pattern>& from, size_t first) {
  Match m;
  size_t position = first;
  for (const Pattern& p : from) {
    bool found = false;
    for (; position < steps.size(); ++position) {
      const Step& s = steps[position];
      Binding attempt = m.binding;
      if (s.kind == p.kind && unify_step(p, s, attempt)) {
        m.at.push_back(position++);
        m.binding = std::move(attempt);
        found = true;
        break;
      }
      if (m.at.empty()) return std::nullopt;  // the first pattern must match exactly here
    }
    if (!found) return std::nullopt;
  }
  return m;
}

bool in_match(const Match& m, size_t i) { return std::find(m.at.begin(), m.at.end(), i) != m.at.end(); }

bool intersect(std::span<const Var> a, std::span<const Var> b) {
  return std::any_of(a.begin(), a.end(), [&](Var v) { return contains(b, v); });
}

// Two steps that may not change places: one writes what the other reads or writes.
bool conflict(const Step& a, const Step& b) {
  return intersect(a.out, b.in) || intersect(a.out, b.out) || intersect(a.in, b.out);
}

// Values that only the replaced steps write and the new ones do not must have no other reader, nor be read by the new
// ones under another name, as where both operands of a sum are the same.
bool vanishing_is_private(const std::vector<Step>& steps, const std::vector<Value>& values, const Match& m,
                          const std::vector<Pattern>& to, std::span<const Var> keep) {
  std::vector<Var> survivors;
  for (const Pattern& p : to)
    for (const std::string& name : p.out) survivors.push_back(m.binding.at(name));
  for (size_t k : m.at)
    for (Var v : steps[k].out) {
      if (contains(survivors, v)) continue;
      if (values[static_cast<size_t>(v.id)].external || contains(keep, v)) return false;
      for (const Pattern& p : to)
        for (const std::string& name : p.in)
          if (m.binding.at(name) == v) return false;
      for (size_t i = 0; i < steps.size(); ++i)
        if (!in_match(m, i) && contains(steps[i].in, v)) return false;
    }
  return true;
}

// Brings the matched steps together: what lies between them goes before where it can, and after where it depends on
// them. Positions of those after; nothing where a later matched step depends on one of those.
std::optional<std::vector<size_t>> gather(const std::vector<Step>& steps, const Match& m) {
  std::vector<size_t> after;
  for (size_t i = m.at.front(); i <= m.at.back(); ++i) {
    auto depends = [&](size_t k) { return k < i && conflict(steps[k], steps[i]); };
    const bool on_after = std::any_of(after.begin(), after.end(), depends);
    if (in_match(m, i)) {
      if (on_after) return std::nullopt;
    } else if (on_after || std::any_of(m.at.begin(), m.at.end(), depends)) {
      after.push_back(i);
    }
  }
  return after;
}

// Whether `fused[k]` may stand at places[k]: what it reads is there and what it writes is wanted there as where the
// matched steps read and wrote it.
bool can_stand(const std::vector<Step>& steps, const Match& m, const std::vector<Step>& fused,
               const std::vector<size_t>& places) {
  auto undisturbed = [&](Var v, size_t place, bool written) {
    for (size_t k : m.at) {
      if (!contains(steps[k].in, v) && !contains(steps[k].out, v)) continue;
      for (size_t i = std::min(k, place); i <= std::max(k, place); ++i)
        if (!in_match(m, i) && (contains(steps[i].out, v) || (written && contains(steps[i].in, v)))) return false;
    }
    return true;
  };
  for (size_t k = 0; k < fused.size(); ++k) {
    for (Var v : fused[k].in)
      if (!undisturbed(v, places[k], false)) return false;
    for (Var v : fused[k].out)
      if (!undisturbed(v, places[k], true)) return false;
  }
  return true;
}

// Adds the ops of a step that are not there yet.
void add_ops(std::vector<OpPtr>& ops, const Step& step) {
  for (const OpPtr& op : step.ops)
    if (std::find(ops.begin(), ops.end(), op) == ops.end()) ops.push_back(op);
}

// The list of steps under the rules; each function applies one rule wherever it matches, and says how often that was.
class Rewriter {
 public:
  std::vector<Step>& steps;
  const std::vector<Value>& values;
  std::span<const Var> keep;
  const std::function<bool(const Step&)>& fits;

  int operator()(const Gather& rule) {
    const std::vector<Pattern> from = parsed(rule.from), to = parsed(rule.to);
    int count = 0;
    for (size_t i = 0; i < steps.size(); ++i) {
      const std::optional<Match> m = match(steps, from, i);
      if (!m || !vanishing_is_private(steps, values, *m, to, keep)) continue;
      const std::optional<std::vector<size_t>> after = gather(steps, *m);
      if (!after) continue;
      std::vector<Step> fused;
      for (const Pattern& p : to) {
        fused.push_back(new_step(p, *m, steps[i].label));
        for (const size_t k : m->at) add_ops(fused.back().ops, steps[k]);
      }
      if (!all_fit(fused)) continue;
      std::vector<Step> rewritten;
      auto is_after = [&](size_t s) { return std::find(after->begin(), after->end(), s) != after->end(); };
      for (size_t s = 0; s < steps.size(); ++s) {
        if (s == m->at.back()) {
          rewritten.insert(rewritten.end(), fused.begin(), fused.end());
          for (const size_t k : *after) rewritten.push_back(steps[k]);
        }
        if (!in_match(*m, s) && !is_after(s)) rewritten.push_back(steps[s]);
      }
      steps = std::move(rewritten);
      ++count;
      --i;  // what stands here now may match as well
    }
    return count;
  }

  int operator()(const InPlace& rule) {
    std::vector<Pattern> from, to;
    std::vector<size_t> beside;  // of a new step: the old one beside it
    for (size_t k = 0; k < rule.steps.size(); ++k) {
      from.push_back(parse(rule.steps[k].from));
      if (rule.steps[k].to.empty()) continue;
      to.push_back(parse(rule.steps[k].to));
      beside.push_back(k);
    }
    int count = 0;
    for (size_t i = 0; i < steps.size(); ++i) {
      const std::optional<Match> m = match(steps, from, i);
      if (!m || !vanishing_is_private(steps, values, *m, to, keep)) continue;
      std::vector<Step> fused;
      std::vector<size_t> places;
      for (size_t k = 0; k < to.size(); ++k) {
        places.push_back(m->at[beside[k]]);
        fused.push_back(new_step(to[k], *m, steps[places.back()].label));
        add_ops(fused.back().ops, steps[places.back()]);
        for (const size_t other : m->at) add_ops(fused.back().ops, steps[other]);
      }
      if (!can_stand(steps, *m, fused, places) || !all_fit(fused)) continue;
      for (size_t k = 0; k < to.size(); ++k) steps[places[k]] = std::move(fused[k]);
      for (size_t k = m->at.size(); k-- > 0;)
        if (rule.steps[k].to.empty()) steps.erase(steps.begin() + static_cast<std::ptrdiff_t>(m->at[k]));
      ++count;
      --i;
    }
    return count;
  }

  int operator()(const Collect& rule) {
    std::vector<size_t> at;  // from the last one back
    for (size_t i = steps.size(); i-- > 0;) {
      if (steps[i].kind != rule.from) continue;
      if (at.empty() || can_join(i, at[0], rule)) at.push_back(i);
    }
    if (at.size() < 2) return 0;
    Step all{.kind = rule.to, .label = steps[at.back()].label};
    for (size_t k = at.size(); k-- > 0;) {
      const Step& each = steps[at[k]];
      add_ops(all.ops, each);
      all.in.insert(all.in.end(), each.in.begin(), each.in.end());
      all.out.insert(all.out.end(), each.out.begin(), each.out.end());
    }
    if (fits && !fits(all)) return 0;
    steps[at[0]] = std::move(all);
    for (size_t k = 1; k < at.size(); ++k) steps.erase(steps.begin() + static_cast<std::ptrdiff_t>(at[k]));
    return 1;
  }

 private:
  static std::vector<Pattern> parsed(const std::vector<std::string_view>& texts) {
    std::vector<Pattern> patterns;
    for (std::string_view text : texts) patterns.push_back(parse(text));
    return patterns;
  }
  static Step new_step(const Pattern& p, const Match& m, std::string label) {
    Step s{.kind = p.kind, .label = std::move(label)};
    for (const std::string& name : p.in) s.in.push_back(m.binding.at(name));
    for (const std::string& name : p.out) s.out.push_back(m.binding.at(name));
    return s;
  }
  bool all_fit(const std::vector<Step>& fused) const { return !fits || std::all_of(fused.begin(), fused.end(), fits); }
  // Whether step i may do its work where the step `last` stands, together with it.
  bool can_join(size_t i, size_t last, const Collect& rule) const {
    auto specs_of = [&](const Step& s) {
      return StepSpecs(s, [&](Var v) -> const Spec& { return values[static_cast<size_t>(v.id)].spec; });
    };
    const StepSpecs one = specs_of(steps[i]), other = specs_of(steps[last]);
    const auto between = std::span(steps).subspan(i + 1, last - i);
    return rule.alike(one.problem(), other.problem()) &&
           std::none_of(between.begin(), between.end(), [&](const Step& s) { return conflict(steps[i], s); });
  }
};

}  // namespace

std::vector<std::string_view> Rewrite::new_steps() const {
  if (const auto* gather = std::get_if<Gather>(&rule)) return gather->to;
  if (const auto* collect = std::get_if<Collect>(&rule)) return {collect->to};
  std::vector<std::string_view> texts;
  for (const InPlace::Pair& pair : std::get<InPlace>(rule).steps)
    if (!pair.to.empty()) texts.push_back(pair.to);
  return texts;
}

std::vector<int> rewrite(std::vector<Step>& steps, const std::vector<Value>& values, std::span<const Rewrite> rules,
                         std::span<const Var> keep, const std::function<bool(const Step&)>& fits) {
  Rewriter rewriter{.steps = steps, .values = values, .keep = keep, .fits = fits};
  std::vector<int> counts;
  for (const Rewrite& rule : rules) counts.push_back(std::visit(rewriter, rule.rule));
  return counts;
}

}  // namespace rt
