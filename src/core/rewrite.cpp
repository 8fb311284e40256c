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

bool contains(std::span<const Var> list, Var v) { return std::find(list.begin(), list.end(), v) != list.end(); }

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
      if (s.kind == p.kind && unify(p.in, s.in, attempt) && unify(p.out, s.out, attempt)) {
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

// Values that only the replaced steps write and the new ones do not must have no other reader.
bool vanishing_is_private(const std::vector<Step>& steps, const std::vector<Value>& values, const Match& m,
                          const std::vector<Pattern>& to, std::span<const Var> keep) {
  std::vector<Var> survivors;
  for (const Pattern& p : to)
    for (const std::string& name : p.out) survivors.push_back(m.binding.at(name));
  for (size_t k : m.at)
    for (Var v : steps[k].out) {
      if (contains(survivors, v)) continue;
      if (values[static_cast<size_t>(v.id)].external || contains(keep, v)) return false;
      for (size_t i = 0; i < steps.size(); ++i)
        if (!in_match(m, i) && contains(steps[i].in, v)) return false;
    }
  return true;
}

// Whether every matched step may move to `position`, which is the first or the last of them, across what stands
// between.
bool can_gather(const std::vector<Step>& steps, const Match& m, size_t position) {
  for (size_t k : m.at)
    for (size_t i = std::min(k, position); i <= std::max(k, position); ++i)
      if (!in_match(m, i) && conflict(steps[i], steps[k])) return false;
  return true;
}

}  // namespace

std::vector<int> rewrite(std::vector<Step>& steps, const std::vector<Value>& values, std::span<const Rewrite> rules,
                         std::span<const Var> keep, const std::function<bool(const Step&)>& fits) {
  std::vector<int> counts;
  for (const Rewrite& rule : rules) {
    int count = 0;
    std::vector<Pattern> from, to;
    for (std::string_view text : rule.from) from.push_back(parse(text));
    for (std::string_view text : rule.to) to.push_back(parse(text));
    for (size_t i = 0; i < steps.size();) {
      const std::optional<Match> m = match(steps, from, i);
      size_t position = i;
      if (m && !can_gather(steps, *m, position)) position = m->at.back();
      if (!m || !vanishing_is_private(steps, values, *m, to, keep) || !can_gather(steps, *m, position)) {
        ++i;
        continue;
      }
      std::vector<Step> fused;
      for (const Pattern& p : to) {
        Step s{p.kind, steps[i].op, {}, {}, steps[i].label, nullptr, steps[m->at.back()].op};
        for (const std::string& name : p.in) s.in.push_back(m->binding.at(name));
        for (const std::string& name : p.out) s.out.push_back(m->binding.at(name));
        fused.push_back(std::move(s));
      }
      if (fits && !std::all_of(fused.begin(), fused.end(), fits)) {
        ++i;
        continue;
      }
      steps.insert(steps.begin() + static_cast<int64_t>(position), fused.begin(), fused.end());
      for (auto at = m->at.rbegin(); at != m->at.rend(); ++at)
        steps.erase(steps.begin() + static_cast<int64_t>(*at >= position ? *at + fused.size() : *at));
      ++count;
    }
    counts.push_back(count);
  }
  return counts;
}

}  // namespace rt
