// Works at the peak: finds the step at which most bytes are in use, repeats what frees most of them there, and looks
// again.
#include "core/recompute.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace rt {
namespace {

// External values may be parts of one another, as a parameter is of all weights.
bool same_memory(const Value& a, const Value& b) {
  if (!a.data || !b.data) return false;
  const auto *p = static_cast<const std::byte*>(a.data), *q = static_cast<const std::byte*>(b.data);
  return std::less<>()(p, q + b.spec.bytes()) && std::less<>()(q, p + a.spec.bytes());
}

bool writes(const StepList& list, size_t step, Var v) {
  const auto& values = list.values;
  return std::any_of(list.steps[step].out.begin(), list.steps[step].out.end(), [&](Var o) {
    return o == v || same_memory(values[static_cast<size_t>(o.id)], values[static_cast<size_t>(v.id)]);
  });
}

struct Part {  // steps [begin, end), all before the peak; what the last one writes for those behind it stays
  size_t begin, end;
  Var stays = {};
};

// Values of `part` that steps [from, to) read.
std::set<int> read_between(const StepList& list, const Part& part, size_t from, size_t to) {
  std::set<int> written, read;
  for (size_t s = part.begin; s < part.end; ++s)
    for (Var v : list.steps[s].out)
      if (!list.values[static_cast<size_t>(v.id)].external && v != part.stays) written.insert(v.id);
  for (size_t s = from; s < to; ++s)
    for (Var v : list.steps[s].in)
      if (written.contains(v.id)) read.insert(v.id);
  return read;
}

struct Repeated {
  size_t at = 0, steps = 0;
};

// Repeats the steps of `part` that lead to what is read after `peak`, ahead of the first such reader, and gives their
// values to all readers from there on. No steps where that is not possible.
Repeated repeat(StepList& list, const Part& part, size_t peak) {
  std::set<int> wanted = read_between(list, part, peak + 1, list.steps.size());
  const auto any_wanted = [&](const std::vector<Var>& values) {
    return std::any_of(values.begin(), values.end(), [&](Var v) { return wanted.contains(v.id); });
  };
  size_t at = peak + 1;
  while (at < list.steps.size() && !any_wanted(list.steps[at].in)) ++at;
  std::vector<size_t> needed;
  for (size_t s = part.end; s-- > part.begin;) {
    const Step& step = list.steps[s];
    if (!any_wanted(step.out)) continue;
    needed.insert(needed.begin(), s);
    for (Var v : step.in) wanted.insert(v.id);
    for (Var v : step.out)
      if (list.values[static_cast<size_t>(v.id)].external) return {};  // it changes what outlives the list
  }
  for (size_t s : needed)  // its inputs must still be what they were
    for (size_t later = s; later < at; ++later)
      for (Var v : list.steps[s].in)
        if (writes(list, later, v)) return {};

  std::map<int, Var> again;
  auto rename = [&](std::vector<Var>& in) {
    for (Var& v : in)
      if (const auto found = again.find(v.id); found != again.end()) v = found->second;
  };
  std::vector<Step> steps;
  std::vector<size_t> workspace_bytes;
  for (size_t s : needed) {
    Step step = list.steps[s];
    rename(step.in);
    for (Var& v : step.out) {
      const Value same = list.values[static_cast<size_t>(v.id)];
      list.values.push_back(same);
      const Var fresh{static_cast<int>(list.values.size()) - 1};
      again[v.id] = fresh;
      v = fresh;
    }
    steps.push_back(std::move(step));
    workspace_bytes.push_back(list.workspace_bytes[s]);
  }
  for (size_t s = at; s < list.steps.size(); ++s) rename(list.steps[s].in);
  const auto offset = static_cast<int64_t>(at);
  list.steps.insert(list.steps.begin() + offset, steps.begin(), steps.end());
  list.workspace_bytes.insert(list.workspace_bytes.begin() + offset, workspace_bytes.begin(), workspace_bytes.end());
  return {at, needed.size()};
}

// The forward pass, cut where one value is all that goes on. The largest piece has to be in memory as a whole while its
// gradients are computed, so adjacent pieces that are no larger together become one part, of which less stays.
std::vector<Part> parts_of(const StepList& list, size_t forward_steps) {
  std::vector<size_t> first(list.values.size(), forward_steps), last(list.values.size(), 0);
  for (size_t s = 0; s < forward_steps; ++s) {
    for (Var v : list.steps[s].out) first[static_cast<size_t>(v.id)] = std::min(first[static_cast<size_t>(v.id)], s);
    for (Var v : list.steps[s].in) last[static_cast<size_t>(v.id)] = s;
  }
  struct Piece {
    Part part;
    size_t bytes;
  };
  std::vector<Piece> pieces;
  size_t begin = 0, bytes = 0, largest = 0;
  for (size_t s = 0; s < forward_steps; ++s) {
    int going_on = 0;
    Var only;
    for (size_t i = 0; i < list.values.size(); ++i) {
      if (list.values[i].external) continue;
      if (first[i] == s) bytes += list.values[i].spec.bytes();
      if (first[i] > s || last[i] <= s) continue;
      ++going_on;
      only = {static_cast<int>(i)};
    }
    if (going_on != 1) continue;
    pieces.push_back({{begin, s + 1, only}, bytes});
    largest = std::max(largest, bytes);
    begin = s + 1;
    bytes = 0;
  }
  std::vector<Part> parts;
  size_t merged = 0;
  for (const Piece& piece : pieces) {
    if (!parts.empty() && merged + piece.bytes <= largest) {
      parts.back().end = piece.part.end;
      parts.back().stays = piece.part.stays;
      merged += piece.bytes;
    } else {
      parts.push_back(piece.part);
      merged = piece.bytes;
    }
  }
  return parts;
}

// What could be repeated for the sake of step `peak`, what frees most first: parts, then single steps.
class Search {
 public:
  Search(StepList list, std::span<const Var> keep, Device device, const RecomputeOptions& options)
      : list_(std::move(list)), keep_(keep), device_(device), options_(options), live_(live(list_)) {
    if (options.what != Recompute::blocks) return;
    while (backward_ < list_.steps.size() && !contains(list_.steps[backward_].in, options.seed)) ++backward_;
    parts_ = parts_of(list_, backward_);
  }

  const StepList& list() const { return list_; }
  size_t peak_bytes() const { return *std::max_element(live_.begin(), live_.end()); }

  // Returns how many steps it repeated; 0 where nothing lowers the peak.
  size_t lower() {
    const auto peak = static_cast<size_t>(std::max_element(live_.begin(), live_.end()) - live_.begin());
    using Sized = std::pair<size_t, Part>;
    std::vector<Sized> parts, steps;
    for (const Part& part : parts_) {
      if (part.end > peak || !read_between(list_, part, std::max(part.end, backward_), peak + 1).empty()) continue;
      size_t bytes = 0;
      for (int v : read_between(list_, part, peak + 1, list_.steps.size()))
        bytes += list_.values[static_cast<size_t>(v)].spec.bytes();
      parts.push_back({bytes, part});
    }
    for (size_t s = 0; s < peak; ++s) {
      const Step& step = list_.steps[s];
      if (std::find(options_.cheap.begin(), options_.cheap.end(), step.kind) == options_.cheap.end() ||
          step.out.size() != 1 || contains(list_.steps[peak].in, step.out[0]) || done_.contains(step.out[0].id) ||
          read_between(list_, {s, s + 1}, peak + 1, list_.steps.size()).empty())
        continue;
      steps.push_back({list_.values[static_cast<size_t>(step.out[0].id)].spec.bytes(), {s, s + 1}});
    }
    for (std::vector<Sized>* candidates : {&parts, &steps}) {
      // Of equal ones the last: it may read what an earlier one writes, and is repeated before that one has to be.
      std::stable_sort(candidates->begin(), candidates->end(), [](const Sized& a, const Sized& b) {
        return std::pair(a.first, a.second.begin) > std::pair(b.first, b.second.begin);
      });
      for (const auto& [bytes, part] : *candidates)
        if (const size_t repeated = attempt(part, peak, candidates == &steps)) return repeated;
    }
    return 0;
  }

 private:
  std::vector<size_t> live(const StepList& list) const {
    return live_bytes(lifetimes_of(list, keep_, true, device_), list.steps.size());
  }

  // Each part and each value is tried once.
  size_t attempt(const Part& part, size_t peak, bool single) {
    if (single)
      done_.insert(list_.steps[part.begin].out[0].id);
    else
      std::erase_if(parts_, [&](const Part& p) { return p.begin == part.begin; });
    StepList changed = list_;
    const Repeated r = repeat(changed, part, peak);
    if (r.steps == 0) return 0;
    std::vector<size_t> now = live(changed);
    if (now[peak] >= live_[peak] || *std::max_element(now.begin(), now.end()) > peak_bytes()) return 0;
    list_ = std::move(changed);
    live_ = std::move(now);
    if (single) done_.insert(static_cast<int>(list_.values.size()) - 1);
    for (Part& p : parts_) {
      if (p.begin >= r.at) p.begin += r.steps;
      if (p.end > r.at) p.end += r.steps;
    }
    if (backward_ >= r.at) backward_ += r.steps;
    return r.steps;
  }

  StepList list_;
  std::span<const Var> keep_;
  Device device_;
  const RecomputeOptions& options_;
  std::vector<Part> parts_;
  std::set<int> done_;
  size_t backward_ = 0;
  std::vector<size_t> live_;
};

}  // namespace

Recompute recompute_named(std::string_view name) {
  return name == "none" ? Recompute::none : name == "cheap" ? Recompute::cheap : Recompute::blocks;
}

int recompute(StepList& list, std::span<const Var> keep, Device device, const RecomputeOptions& options) {
  if (options.what == Recompute::none) return 0;
  Search search(list, keep, device, options);
  StepList best = list;
  size_t lowest = search.peak_bytes(), steps = 0, useful = 0;
  while (const size_t repeated = search.lower()) {
    steps += repeated;
    if (search.peak_bytes() >= lowest) continue;
    best = search.list();
    lowest = search.peak_bytes();
    useful = steps;
  }
  // Blocks of different sizes leave gaps: what counts in the end is the arena.
  Lifetimes before = lifetimes_of(list, keep, true, device), after = lifetimes_of(best, keep, true, device);
  if (useful == 0 || assign_offsets(after) >= assign_offsets(before)) return 0;
  list = std::move(best);
  return static_cast<int>(useful);
}

}  // namespace rt
