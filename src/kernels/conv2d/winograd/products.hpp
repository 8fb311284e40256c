// The matrix products of a convolution in the transformed domain: those with U, the weights there, and those that give
// dU, their gradient.
#pragma once
#include "kernels/conv2d/winograd/layer.hpp"

namespace rt::cpu::winograd {

// U in panels: all of it, or where each number is needed once, a group of columns per thread.
template <class T>
struct Weights {
  const Layer<T>& layer;
  const T* w;
  int64_t column_stride, depth_stride, columns, depth;
  Groups groups;
  float* u;
  // transposed: for dX, which sums over K
  Weights(const Layer<T>& of, const T* weights, bool transposed, bool needed, Space& space)
      : layer(of),
        w(weights),
        column_stride(transposed ? 9 : layer.s.c * 9),
        depth_stride(transposed ? layer.s.c * 9 : 9),
        columns(transposed ? layer.s.c : layer.s.k),
        depth(transposed ? layer.s.k : layer.s.c),
        groups(layer.panel, layer.schedule.threads, columns),
        u(space.take(needed ? floats() * (layer.one_block() ? layer.schedule.threads : 1) : 0)) {}
  int64_t panels() const { return ceil_div(columns, layer.panel); }
  int64_t panel_floats() const { return depth * layer.panel; }
  int64_t plane() const { return (layer.one_block() ? groups.size / layer.panel : panels()) * panel_floats() + line; }
  int64_t floats() const { return filters * plane(); }
  void make(int64_t panel, float* to) const {
    const int64_t first = panel * layer.panel;
    layer.transform.weights(w + first * column_stride, column_stride, depth_stride,
                            std::min(layer.panel, columns - first), depth, to, plane());
  }
  void make_all() const {
    if (layer.one_block()) return;
#pragma omp parallel for schedule(static) num_threads(layer.schedule.threads)
    for (int64_t panel = 0; panel < panels(); ++panel) make(panel, u + panel * panel_floats());
  }
  Prefetch plane_of(const Product& product) const {
    return {.at = u + product.filter * plane(), .bytes = plane() * int64_t{sizeof(float)}};
  }
  Prefetches prefetch(const Product* next, int64_t tiles, WinogradPlanes values, WinogradPlanes results) const {
    if (!layer.prefetches || !next) return {};
    return {plane_of(*next), layer.rows_of(values, next, tiles), layer.rows_of(results, next, tiles)};
  }
  // One product, of some columns: results[tiles, columns] = values[tiles, depth] * U. `from`: their first panel
  void multiply_plane(const Product& product, int64_t tiles, const float* from, Columns part, WinogradPlanes values,
                      WinogradPlanes results, const Prefetches& prefetches) const {
    layer.gemm.multiply({.m = tiles,
                         .n = part.count,
                         .depth = depth,
                         .a = values.data + product.plane * values.plane,
                         .a_row = values.row,
                         .a_step = 1,
                         .b = from + product.filter * plane(),
                         .b_panel = panel_floats(),
                         .b_step = layer.panel,
                         .c = results.data + product.plane * results.plane + part.first,
                         .c_row = results.row,
                         .accumulate = false,
                         .prefetch = prefetches});
  }
  // All products of a block.
  void multiply(Team& team, int64_t tiles, WinogradPlanes values, WinogradPlanes results) const {
    if (!layer.one_block()) {
      const Product* const all = layer.products.all.data();
      const int64_t parts = layer.parts(columns, team.size), items = std::ssize(layer.products.all) * parts;
      return team.each(items, [&](int64_t i, int64_t then) {
        const Columns part = layer.part(columns, i % parts, parts);
        multiply_plane(all[i / parts], tiles, u + part.first / layer.panel * panel_floats(), part, values, results,
                       prefetch(then < items ? all + then / parts : nullptr, tiles, values, results));
      });
    }
    float* const own = u + team.rank * floats();
    team.each(groups.count, [&](int64_t group, int64_t) {
      const Columns part = groups.of(group, columns);
      for (int64_t j = 0; j < ceil_div(part.count, layer.panel); ++j)
        make(part.first / layer.panel + j, own + j * panel_floats());
      layer.products.each([&](const Product& product, const Product* next) {
        multiply_plane(product, tiles, own, part, values, results,
                       {layer.rows_of(values, layer.prefetches ? next : nullptr, tiles)});
      });
    });
  }
};

// dU, [36][C][K]: one per chunk, or where all tiles are one block, the columns of a group per thread.
template <class T>
struct WeightGradients {
  const Layer<T>& layer;
  T* dw;
  Groups groups;
  int64_t row;
  float* du;
  WeightGradients(const Layer<T>& of, T* gradients, bool needed, Space& space)
      : layer(of),
        dw(gradients),
        groups(layer.panel, layer.schedule.threads, layer.s.k),
        row(layer.one_block() ? groups.size : layer.s.k),
        du(space.take(!needed ? 0 : floats() * (layer.one_block() ? layer.schedule.threads : layer.schedule.chunks))) {}
  int64_t plane() const { return layer.s.c * row + line; }
  int64_t floats() const { return filters * plane(); }
  // Some columns of dW, the first of whose dU is at `from`.
  void finish(Columns part, const float* from) const {
    const int64_t column_stride = layer.s.c * 9, depth_stride = 9;
    layer.transform.weight_gradients(from, plane(), row, layer.schedule.chunks, floats(), column_stride, depth_stride,
                                     part.count, layer.s.c, dw + part.first * column_stride);
  }
  void finish_all() const {
    if (layer.one_block()) return;
#pragma omp parallel for schedule(static) num_threads(layer.schedule.threads)
    for (int64_t k = 0; k < layer.s.k; k += line) finish({.first = k, .count = line}, du + k);
  }
  Prefetch plane_of(const Product& product, const float* from) const {
    return {.at = from + product.filter * plane(), .bytes = plane() * int64_t{sizeof(float)}};
  }
  // The next product's memory: of dU, V and dM, in this order.
  Prefetches prefetch(const Product* next, int64_t tiles, const float* from, WinogradPlanes v, WinogradPlanes m) const {
    if (!layer.prefetches || !next) return {};
    return {plane_of(*next, from), layer.rows_of(v, next, tiles), layer.rows_of(m, next, tiles)};
  }
  // One product, of some columns: dU += V^T dM of these tiles, or = where the chunk begins. `to`: dU's first column
  void accumulate_plane(const Product& product, bool begins, int64_t tiles, Columns part, float* to, WinogradPlanes v,
                        WinogradPlanes m, const Prefetches& prefetches) const {
    layer.gemm.multiply({.m = layer.s.c,
                         .n = part.count,
                         .depth = tiles,
                         .a = v.data + product.plane * v.plane,
                         .a_row = 1,
                         .a_step = v.row,
                         .b = m.data + product.plane * m.plane + part.first,
                         .b_panel = layer.panel,
                         .b_step = m.row,
                         .c = to + product.filter * plane(),
                         .c_row = row,
                         .accumulate = !(begins && product.first),
                         .prefetch = prefetches});
  }
  // All products of a block.
  void accumulate(Team& team, bool begins, int64_t tiles, WinogradPlanes v, WinogradPlanes m) const {
    if (!layer.one_block()) {
      // A thread takes a filter, into whose dU all its planes are summed; the last filters have the most planes.
      const int64_t parts = layer.parts(layer.s.k, team.size), items = filters * parts;
      auto products_of = [&](int64_t i) { return layer.products.of_filter[filters - 1 - i / parts]; };
      return team.each(items, [&](int64_t i, int64_t then) {
        const Columns part = layer.part(layer.s.k, i % parts, parts);
        const std::span<const Product> all = products_of(i);
        for (const Product& product : all) {
          const Product* next = &product != &all.back() ? &product + 1
                                : then < items          ? products_of(then).data()
                                                        : nullptr;
          accumulate_plane(product, begins, tiles, part, du + part.first, v, m, prefetch(next, tiles, du, v, m));
        }
      });
    }
    float* const own = du + team.rank * floats();
    team.each(groups.count, [&](int64_t group, int64_t) {
      const Columns part = groups.of(group, layer.s.k);
      layer.products.each([&](const Product& product, const Product* next) {
        Prefetches prefetches = prefetch(next, tiles, own, v, m);
        prefetches[2] = {};  // the group reads few columns of dM's rows
        accumulate_plane(product, begins, tiles, part, own, v, m, prefetches);
      });
      finish(part, own);
    });
  }
};

}  // namespace rt::cpu::winograd
