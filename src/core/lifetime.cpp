#include "core/lifetime.hpp"

#include <algorithm>

#include "core/divide.hpp"

namespace rt {
namespace {

// A cache line on the CPU; on CUDA what its allocator gives, which libraries are used to.
size_t alignment_on(Device device) { return device == Device::cuda ? 256 : 64; }

}  // namespace

Lifetimes lifetimes_of(const StepList& list, std::span<const Var> keep, bool share, Device device) {
  const std::vector<Step>& steps = list.steps;
  const std::vector<Value>& values = list.values;
  const int end = static_cast<int>(steps.size());
  std::vector<int> first(values.size(), end), last(values.size(), -1);
  auto touch = [&](Var v, int s) {
    const size_t i = static_cast<size_t>(v.id);
    first[i] = std::min(first[i], s);
    last[i] = std::max(last[i], s);
  };
  for (int s = 0; s < end; ++s) {
    for (Var v : steps[static_cast<size_t>(s)].in) touch(v, s);
    for (Var v : steps[static_cast<size_t>(s)].out) touch(v, s);
  }
  for (Var v : keep) last[static_cast<size_t>(v.id)] = end;

  Lifetimes p;
  p.blocks.resize(values.size() + steps.size());
  p.block_of.resize(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    p.block_of[i] = i;
    if (values[i].external || last[i] < 0) continue;
    p.blocks[i] = {.bytes = round_up(values[i].spec.bytes(), alignment_on(device)),
                   .offset = 0,
                   .first = share ? first[i] : 0,
                   .last = share ? last[i] : end};
    p.unshared_bytes += p.blocks[i].bytes;
  }
  for (int s = 0; share && s < end; ++s) {  // in place
    const Step& step = steps[static_cast<size_t>(s)];
    if (step.row->overwrites.empty()) continue;
    const int overwritten = step.row->kind.input(step.row->overwrites);
    RT_CHECK(overwritten >= 0, "{} of {} would overwrite '{}', which is none of its inputs", step.row->name,
             step.row->kind.text(), step.row->overwrites);
    const size_t from = static_cast<size_t>(step.in[static_cast<size_t>(overwritten)].id);
    const size_t to = static_cast<size_t>(step.out[0].id);
    const bool once =
        std::count_if(step.in.begin(), step.in.end(), [&](Var v) { return static_cast<size_t>(v.id) == from; }) == 1;
    Block& block = p.blocks[p.block_of[from]];
    if (from == to || !once || values[from].external || values[to].external || last[from] != s || first[to] != s ||
        p.block_of[to] != to || p.blocks[to].bytes != block.bytes)
      continue;
    block.last = last[to];
    p.block_of[to] = p.block_of[from];
    p.blocks[to] = {};
  }
  size_t largest_workspace = 0;
  for (int s = 0; s < end; ++s) {
    const size_t bytes = round_up(list.workspace_bytes[static_cast<size_t>(s)], alignment_on(device));
    p.blocks[values.size() + static_cast<size_t>(s)] = {.bytes = bytes, .offset = 0, .first = s, .last = s};
    largest_workspace = std::max(largest_workspace, bytes);
  }
  p.unshared_bytes += largest_workspace;
  return p;
}

std::vector<size_t> live_bytes(const Lifetimes& lifetimes, size_t steps) {
  std::vector<size_t> change(steps + 2, 0);  // modulo 2^64
  for (const Block& block : lifetimes.blocks) {
    if (block.bytes == 0) continue;
    change[static_cast<size_t>(block.first)] += block.bytes;
    change[static_cast<size_t>(block.last) + 1] -= block.bytes;
  }
  for (size_t s = 1; s < steps; ++s) change[s] += change[s - 1];
  change.resize(steps);
  return change;
}

// Greedy by size: the largest block first, each at the lowest offset that is free during its whole life.
// Pisarchyk & Lee, "Efficient memory management for deep neural net inference", 2020, section 5.2.
size_t assign_offsets(Lifetimes& lifetimes) {
  std::vector<Block*> blocks;
  for (Block& block : lifetimes.blocks)
    if (block.bytes > 0) blocks.push_back(&block);
  std::stable_sort(blocks.begin(), blocks.end(), [](const Block* a, const Block* b) { return a->bytes > b->bytes; });
  std::vector<const Block*> placed;  // by offset
  size_t top = 0;
  for (Block* block : blocks) {
    size_t offset = 0;
    for (const Block* other : placed) {
      if (other->last < block->first || other->first > block->last) continue;
      if (offset + block->bytes <= other->offset) break;
      offset = std::max(offset, other->offset + other->bytes);
    }
    block->offset = offset;
    placed.insert(std::upper_bound(placed.begin(), placed.end(), block,
                                   [](const Block* a, const Block* b) { return a->offset < b->offset; }),
                  block);
    top = std::max(top, offset + block->bytes);
  }
  return top;
}

}  // namespace rt
