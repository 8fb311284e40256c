// Where values lie in one arena: what lives at the same time never shares a byte, whatever the steps.
#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <vector>

#include "core/lifetime.hpp"
#include "core/rng.hpp"

using namespace rt;

namespace {

const Row plain{.kind = "make: a b -> y z", .name = "plain"};
const Row in_place{.kind = "make: a b -> y z", .name = "in place", .overwrites = "a"};

// Steps that each read one or two earlier values and write one or two new ones.
struct RandomSteps {
  StepList list;
  std::vector<Var> keep;

  explicit RandomSteps(uint32_t which) {
    Rng rng(8, RngPurpose::test, which);
    const auto make = [&] {
      const int64_t size = 1 + static_cast<int64_t>(rng.below(4)) * 16;  // few sizes, so that some fit in place
      list.values.push_back({.spec = {{size}}, .external = rng.below(12) == 0});
      return Var{static_cast<int>(list.values.size()) - 1};
    };
    const auto any = [&](size_t values) { return Var{static_cast<int>(rng.below(static_cast<uint32_t>(values)))}; };
    const int steps = 2 + static_cast<int>(rng.below(18));
    make();
    list.values[0].external = true;
    for (int s = 0; s < steps; ++s) {
      const size_t before = list.values.size();
      Step step;
      step.row = rng.below(2) == 0 ? &plain : &in_place;
      step.in = {rng.below(2) == 0 ? Var{static_cast<int>(before) - 1} : any(before), any(before)};
      step.out = {make()};
      if (rng.below(3) == 0) step.out.push_back(make());
      list.steps.push_back(step);
      list.workspace_bytes.push_back(rng.below(3) == 0 ? 1 + rng.below(300) : 0);
    }
    for (int i = 0; i < 3; ++i) keep.push_back(any(list.values.size()));
  }
};

// An arena whose bytes say which value wrote them last.
class Simulated {
 public:
  Simulated(const RandomSteps& steps, const Lifetimes& lifetimes, size_t bytes)
      : list_(steps.list), lifetimes_(lifetimes), owner_(bytes, -1) {}

  // Whether every step finds its inputs, and whoever reads afterwards the values that are kept.
  bool run(const std::vector<Var>& keep) {
    for (size_t s = 0; s < list_.steps.size(); ++s) {
      const Step& step = list_.steps[s];
      if (!all_whole(step.in)) return false;
      write(lifetimes_.blocks[list_.values.size() + s], -2);
      // A row reads while it writes, but for an input that it may overwrite.
      for (const Var v : step.out) write(block_of(v), v.id);
      for (const Var v : step.in)
        if (!(taken_over(step, v)) && !whole(v)) return false;
      if (!all_whole(step.out)) return false;
    }
    return all_whole(keep);
  }

 private:
  const Block& block_of(Var v) const { return lifetimes_.blocks[lifetimes_.block_of[static_cast<size_t>(v.id)]]; }
  bool taken_over(const Step& step, Var v) const {
    return step.row == &in_place && v == step.in[0] && &block_of(v) == &block_of(step.out[0]);
  }
  void write(const Block& block, int id) {
    if (block.bytes == 0) return;
    REQUIRE(block.offset + block.bytes <= owner_.size());
    std::fill_n(owner_.begin() + static_cast<std::ptrdiff_t>(block.offset), block.bytes, id);
  }
  bool whole(Var v) const {
    const Value& value = list_.values[static_cast<size_t>(v.id)];
    if (value.external) return true;
    const Block& block = block_of(v);
    if (block.bytes < value.spec.bytes()) return false;
    const auto begin = owner_.begin() + static_cast<std::ptrdiff_t>(block.offset);
    return std::all_of(begin, begin + static_cast<std::ptrdiff_t>(block.bytes), [&](int id) { return id == v.id; });
  }
  bool all_whole(const std::vector<Var>& list) const {
    return std::all_of(list.begin(), list.end(), [&](Var v) { return whole(v); });
  }

  const StepList& list_;
  const Lifetimes& lifetimes_;
  std::vector<int> owner_;
};

}  // namespace

TEST_CASE("lifetime: whatever the steps, each finds what it reads, in place or not, shared or not") {
  int taken_over = 0;
  for (uint32_t which = 0; which < 400; ++which)
    for (const bool share : {false, true}) {
      CAPTURE(which);
      CAPTURE(share);
      const RandomSteps steps(which);
      Lifetimes lifetimes = lifetimes_of(steps.list, steps.keep, share, Device::cpu);
      const size_t bytes = assign_offsets(lifetimes);
      CHECK(Simulated(steps, lifetimes, bytes).run(steps.keep));
      for (size_t i = 0; i < lifetimes.block_of.size(); ++i) taken_over += lifetimes.block_of[i] != i;
    }
  CHECK(taken_over > 100);
}

TEST_CASE("lifetime: two blocks that live at the same time share no byte, and the arena ends with the last of them") {
  for (uint32_t which = 0; which < 200; ++which) {
    CAPTURE(which);
    Rng rng(9, RngPurpose::test, which);
    Lifetimes lifetimes;
    constexpr int steps = 30;
    for (uint32_t i = 0, count = 1 + rng.below(60); i < count; ++i) {
      const auto first = static_cast<int>(rng.below(steps));
      const auto last = first + static_cast<int>(rng.below(static_cast<uint32_t>(steps - first)));
      lifetimes.blocks.push_back({.bytes = 64 * size_t{rng.below(50)}, .first = first, .last = last});
    }
    const size_t total = assign_offsets(lifetimes);
    size_t top = 0;
    int overlapping = 0;
    for (const Block& a : lifetimes.blocks) {
      if (a.bytes == 0) continue;
      top = std::max(top, a.offset + a.bytes);
      for (const Block& b : lifetimes.blocks) {
        const bool together = a.first <= b.last && b.first <= a.last;
        const bool same_bytes = a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
        overlapping += &a != &b && b.bytes > 0 && together && same_bytes;
      }
    }
    CHECK(overlapping == 0);
    CHECK(total == top);
    const std::vector<size_t> live = live_bytes(lifetimes, steps);
    CHECK(total >= *std::max_element(live.begin(), live.end()));
  }
}

TEST_CASE("lifetime: a chain needs two values at a time, and one where rows work in place") {
  for (const Row* row : {&plain, &in_place}) {
    StepList list;
    for (int i = 0; i <= 5; ++i) list.values.push_back({.spec = {{16}}});
    for (int i = 0; i < 5; ++i) {
      Step step;
      step.row = row;
      step.in = {Var{i}};
      step.out = {Var{i + 1}};
      list.steps.push_back(step);
      list.workspace_bytes.push_back(0);
    }
    const std::vector<Var> keep = {Var{5}};
    Lifetimes shared = lifetimes_of(list, keep, true, Device::cpu);
    CHECK(assign_offsets(shared) == (row == &plain ? 128 : 64));
    CHECK(shared.unshared_bytes == 6 * 64);
    Lifetimes apart = lifetimes_of(list, keep, false, Device::cpu);
    CHECK(assign_offsets(apart) == 6 * 64);
    Lifetimes on_cuda = lifetimes_of(list, keep, true, Device::cuda);  // in blocks of 256 bytes
    CHECK(assign_offsets(on_cuda) == (row == &plain ? 512 : 256));
  }
}
