// Compiled once for each device library, as the operators' tables are (CMakeLists.txt).
#include "kernels/table.hpp"

#include "kernels/rows.hpp"

namespace rt {

std::span<const Row> kernel_table() {
  static const std::vector<Row> table = [] {
    Rows rows;
    add_augment_rows(rows);
    add_conv2d_rows(rows);
    add_batch_norm_rows(rows);
    add_elementwise_rows(rows);
    add_pool_rows(rows);
    add_linear_rows(rows);
    add_cross_entropy_rows(rows);
    add_update_rows(rows);
    return rows.take();
  }();
  return table;
}

}  // namespace rt
