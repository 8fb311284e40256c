// Where the values of a list of steps lie in one arena. A value lives from the step that writes it to the last that
// reads it; where a row may work in place, an output takes over the memory of an input that nobody reads any more.
#pragma once
#include <span>
#include <vector>

#include "core/tape.hpp"

namespace rt {

struct StepList {
  std::vector<Step> steps;  // bound to rows
  std::vector<Value> values;
  std::vector<size_t> workspace_bytes;  // by step
};

struct Block {  // memory that one value, or several that follow each other in place, needs from step `first` to `last`
  size_t bytes = 0, offset = 0;
  int first = 0, last = -1;
};

struct Lifetimes {
  std::vector<Block> blocks;     // by value, then by step for workspaces; without bytes where nothing is needed
  std::vector<size_t> block_of;  // by value
  size_t unshared_bytes = 0;     // the sum of all values and the largest workspace
};

// `keep`: values that are read after the last step. Without `share` every value lives all the time.
Lifetimes lifetimes_of(const StepList& list, std::span<const Var> keep, bool share, Device device);
std::vector<size_t> live_bytes(const Lifetimes& lifetimes, size_t steps);  // at each step: no arena is smaller
size_t assign_offsets(Lifetimes& lifetimes);                               // returns the arena's bytes

}  // namespace rt
