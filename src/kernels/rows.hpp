// How an operator writes its table of rows: X_table.cpp defines add_X_rows(Rows&), and kernels/table.cpp joins them.
// Within a kind and a device rows stand best first, the reference last. These files are compiled once for each device
// library: rows of CUDA have code behind them where RT_CUDA is set, and none in a program without it.
#pragma once
#include <string_view>
#include <utility>
#include <vector>

#include "core/step.hpp"
#include "kernels/cuda/via_cpu.hpp"

namespace rt {

using RunFunction = void (*)(const Args&);
using RefuseFunction = std::string (*)(const Problem&);
using WorkspaceFunction = size_t (*)(const Problem&);

#ifdef RT_CUDA
constexpr bool cuda_is_built = true;
#else
constexpr bool cuda_is_built = false;
#endif
constexpr int first_cuda = 61;  // the lowest compute capability that rows are written for

// A function of the CUDA library; null in a program that is built without it. For X_table.cpp files only, of which a
// program links one build: what it gives differs between device libraries.
template <auto function>
constexpr decltype(function) in_cuda() {
  if constexpr (cuda_is_built)
    return function;
  else
    return nullptr;
}

class Rows {
 public:
  void add(Row row) { rows_.push_back(std::move(row)); }

  // The definition, in plain loops. `overwrites`: as Row's.
  void reference(const Kind& kind, RunFunction run, std::string_view overwrites = {}) {
    add({.kind = kind,
         .name = "cpu.reference",
         .run = run,
         .overwrites = overwrites,
         .algorithm = Algorithm::reference});
  }
  // Of a fused step, for tests and the self-test alone: where no other row fits, the sequence that it stands for is
  // run.
  void reference_of_fused(const Kind& kind, RunFunction run) {
    reference(kind, run);
    rows_.back().last_resort = true;
  }

  // A row on CUDA, in which name, capability and device are filled in where they are left out.
  void cuda(Row row) {
    row.device = Device::cuda;
    if (row.name.empty()) row.name = "cuda";
    if (row.min_capability == 0) row.min_capability = first_cuda;
    add(std::move(row));
  }
  // The last one of a kind on CUDA: the CPU's function between copies.
  template <RunFunction run, WorkspaceFunction workspace = nullptr>
  void via_cpu(const Kind& kind) {
    add({.kind = kind,
         .name = "cuda.via_cpu",
         .device = Device::cuda,
         .run = cuda::via_cpu<run, workspace>,
         .last_resort = true});
  }

  std::vector<Row> take() { return std::move(rows_); }

 private:
  std::vector<Row> rows_;
};

void add_augment_rows(Rows& rows);
void add_batch_norm_rows(Rows& rows);
void add_conv2d_rows(Rows& rows);
void add_cross_entropy_rows(Rows& rows);
void add_elementwise_rows(Rows& rows);
void add_linear_rows(Rows& rows);
void add_pool_rows(Rows& rows);
void add_update_rows(Rows& rows);

}  // namespace rt
