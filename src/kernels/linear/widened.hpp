// A row that computes in f32 made to take bf16: its operands are widened into the workspace, its results rounded from
// there. For steps so small that the copies do not count: the classifier's. In f32 it is the row itself.
#pragma once
#include <string>

#include "core/step.hpp"

namespace rt::cpu {

using WorkspaceBytes = size_t (*)(const Problem&);
void run_widened(void (*run)(const Args&), const Args& a);
size_t widened_bytes(WorkspaceBytes bytes, const Problem& problem);
template <void (*run_f32)(const Args&), WorkspaceBytes bytes_f32>
struct Widened {
  static void run(const Args& a) { run_widened(run_f32, a); }
  static size_t bytes(const Problem& problem) { return widened_bytes(bytes_f32, problem); }
};

}  // namespace rt::cpu
