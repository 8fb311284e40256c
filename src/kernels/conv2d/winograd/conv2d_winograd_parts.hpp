// What the two passes of conv2d_winograd.cpp are made of: how a convolution is cut into blocks of tiles and spread over
// threads, and its matrix products. Two schedules, chosen by shape. Large maps with few channels: the batch is cut into
// chunks of images, a thread takes one chunk at a time and takes its tiles through transform, products and inverse block by
// block, so that a block stays in its cache; dU has a copy per chunk, and no more than 16 threads find work. Small maps with
// many channels, where U is far larger than a block, and batches of fewer than 8 images: all threads work on one block of tiles
// together, split by tiles in the transforms and by planes in the products (dU by filters), or by columns of U where each is needed once.
#pragma once
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <span>
#include <vector>

#include "kernels/conv2d/direct/conv2d_windows.hpp"
#include "kernels/conv2d/winograd/conv2d_winograd.hpp"

namespace rt::cpu::winograd {

constexpr int64_t filters = 36;  // planes of U
constexpr int64_t line = 16;     // floats: planes a power of two apart would share few sets of the L1 cache

struct Space {  // hands out parts of a workspace, or only counts them
  float* base;
  int64_t used = 0;
  float* take(int64_t floats) {
    float* at = base ? base + used : nullptr;
    used += round_up(floats, line);
    return at;
  }
};

struct Team {  // the threads that work on one block
  int64_t rank, size;
  std::atomic<int64_t>* next = nullptr;  // number of what nobody has taken yet
  int64_t taken = 0;                     // numbers that earlier calls of each() used up
  void wait() const {
    if (size > 1) {
#pragma omp barrier
    }
  }
  // f(i, what this thread will probably take then, or `count`) for i from 0 to count - 1, each by the first thread that is free. All
  // threads call it, with a wait() before the next time.
  template <class F>
  void each(int64_t count, F&& f) {
    for (int64_t i; (i = next->fetch_add(1) - taken) < count;) f(i, std::min(i + size, count));
    taken += count + size;  // every thread has found nothing left once
  }
};

struct Schedule {
  bool together;
  int64_t chunks;  // of images; one where all threads work together
  int64_t block;   // tiles; whole images where all threads work together
  int64_t threads;
  // rows: of the matrix product's tile; wanted: tiles of a block; 0: as usual
  Schedule(const Conv2dShape& s, const WinogradGrid& g, int64_t rows, int64_t wanted) {
    together = s.c * s.k > 128 * 128 || s.n < 8;
    if (together) {
      chunks = 1;
      const int64_t images = std::clamp<int64_t>((wanted ? wanted : tiles_together) / g.tiles(), 1, s.n);
      block = ceil_div(s.n, ceil_div(s.n, images)) * g.tiles();
      threads = threads_in_use();
    } else {
      chunks = std::min<int64_t>(s.n, 16);
      block = wanted ? wanted : tiles_alone(rows);
      threads = std::min<int64_t>(threads_in_use(), chunks);
    }
  }
  // Whole tiles of the product: a rest of 2 rows takes two thirds of the time of 6.
  static constexpr int64_t tiles_alone(int64_t rows) { return 32 % rows == 0 ? 32 : 8 * rows; }
  static constexpr int64_t tiles_together = 128;
};

// The products of one block: plane `plane` of V and M with plane `filter` of U; `first`: it is the filter's first.
struct Product {
  int64_t plane, filter;
  bool first;
};
struct Products {
  std::vector<Product> all;              // by filter
  std::span<const Product> of[filters];  // a filter's
  explicit Products(int64_t values) {
    // Of the 9 values of a line of stride 2, the last four share a filter.
    int64_t begin[filters + 1] = {};
    for (int64_t filter = 0; filter < filters; ++filter) {
      for (int64_t r = 0; r < values; ++r)
        for (int64_t q = 0; q < values; ++q)
          if (std::min<int64_t>(r, 5) * 6 + std::min<int64_t>(q, 5) == filter)
            all.push_back({r * values + q, filter, std::ssize(all) == begin[filter]});
      begin[filter + 1] = std::ssize(all);
    }
    for (int64_t filter = 0; filter < filters; ++filter)
      of[filter] = {all.begin() + begin[filter], all.begin() + begin[filter + 1]};
  }
  // f(product, pointer to the next one or null)
  template <class F>
  void each(F&& f) const {
    for (size_t i = 0; i < all.size(); ++i) f(all[i], i + 1 < all.size() ? &all[i + 1] : nullptr);
  }
};
using Prefetch = GemmBlock::Prefetch;
using Prefetches = GemmBlock::Prefetches;

struct Columns {  // of a product
  int64_t first, count;
};

template <class T>
struct Problem {
  Conv2dShape s;
  const WinogradKernels<T>& transform;
  const GemmKernels& gemm;
  const BatchNormKernels& batch_norm;
  const Products& products;
  WinogradGrid in, out;
  Schedule schedule;
  int64_t panel;    // columns of one
  bool prefetches;  // products ask for what the next one needs
  Problem(const Kernels& k, const Conv2dShape& shape)
      : s(shape),
        transform(k.transforms.of<T>(s.stride)),
        gemm(k.gemm),
        batch_norm(k.batch_norm),
        products(products_of(transform.values)),
        in{s.h, s.w, s.c, ceil_div(s.p, 4), ceil_div(s.q, 4)},
        out{s.p, s.q, s.k, in.rows, in.columns},
        schedule(s, in, k.gemm.rows, k.variant.block),
        panel(k.gemm.columns),
        prefetches(k.variant.prefetch) {}
  static const Products& products_of(int64_t values) {
    static const Products six(6), nine(9);
    return values == 6 ? six : nine;
  }
  int64_t planes() const { return transform.values * transform.values; }

  // Rows a large power of two apart would share few sets of the L1 cache as well.
  static int64_t row(int64_t channels) { return channels % 128 == 0 ? channels + line : channels; }
  int64_t plane(int64_t channels) const { return schedule.block * row(channels) + line; }
  int64_t floats(int64_t channels) const { return planes() * plane(channels); }  // of a set of planes
  WinogradPlanes planes(float* data, int64_t channels) const { return {data, plane(channels), row(channels)}; }
  int64_t tiles() const { return s.n * in.tiles(); }
  Prefetch rows_of(WinogradPlanes planes, const Product* next, int64_t tiles) const {
    if (!next) return {};
    return {planes.data + next->plane * planes.plane, tiles * planes.row * int64_t{sizeof(float)}};
  }
  // Columns are cut in parts where planes alone would not keep so many threads busy; no sum runs over columns.
  int64_t parts(int64_t columns, int64_t threads) const {
    return std::min(ceil_div(columns, panel), ceil_div(threads, 6));
  }
  Columns part(int64_t columns, int64_t number, int64_t parts) const {
    const int64_t panels = ceil_div(columns, panel), first = panels * number / parts * panel;
    return {first, std::min(columns, panels * (number + 1) / parts * panel) - first};
  }
  bool one_block() const { return schedule.together && schedule.block >= tiles(); }
  // Sets of planes: one per thread, or one that all share.
  int64_t sets() const { return schedule.together ? 1 : schedule.threads; }
};

// Columns of U that a thread makes and multiplies at a time where all tiles are one block: about as many groups as threads, or
// twice, three times as many.
struct Groups {
  int64_t size, count;  // columns of one group, whole panels; groups
  Groups(int64_t panel, int64_t threads, int64_t columns) {
    const int64_t panels = ceil_div(columns, panel), rounds = ceil_div(panels, most * threads);
    size = ceil_div(panels, rounds * threads) * panel;
    count = ceil_div(columns, size);
  }
  Columns of(int64_t group, int64_t columns) const { return {group * size, std::min(size, columns - group * size)}; }
  static constexpr int64_t most = 4;  // panels; more would leave no L2 cache for the values
};

// U, the weights in the transformed domain, in panels: all of them, or where each is needed once, a group per thread.
template <class T>
struct Weights {
  const Problem<T>& p;
  const T* w;
  int64_t column_stride, depth_stride, columns, depth;
  Groups groups;
  float* u;
  Weights(const Problem<T>& problem, const T* weights, bool transposed, bool needed, Space& space)
      : p(problem),
        w(weights),
        column_stride(transposed ? 9 : p.s.c * 9),
        depth_stride(transposed ? p.s.c * 9 : 9),
        columns(transposed ? p.s.c : p.s.k),
        depth(transposed ? p.s.k : p.s.c),
        groups(p.panel, p.schedule.threads, columns),
        u(space.take(needed ? floats() * (p.one_block() ? p.schedule.threads : 1) : 0)) {}
  int64_t panels() const { return ceil_div(columns, p.panel); }
  int64_t panel() const { return depth * p.panel; }
  int64_t plane() const { return (p.one_block() ? groups.size / p.panel : panels()) * panel() + line; }
  int64_t floats() const { return filters * plane(); }
  void make(int64_t number, float* to) const {
    const int64_t first = number * p.panel;
    p.transform.weights(w + first * column_stride, column_stride, depth_stride, std::min(p.panel, columns - first),
                        depth, to, plane());
  }
  void make_all() const {
    if (p.one_block()) return;
#pragma omp parallel for schedule(static) num_threads(p.schedule.threads)
    for (int64_t j = 0; j < panels(); ++j) make(j, u + j * panel());
  }
  Prefetch plane_of(const Product& e) const { return {u + e.filter * plane(), plane() * int64_t{sizeof(float)}}; }
  Prefetches prefetch(const Product* next, int64_t tiles, WinogradPlanes values, WinogradPlanes results) const {
    if (!p.prefetches || !next) return {};
    return {plane_of(*next), p.rows_of(values, next, tiles), p.rows_of(results, next, tiles)};
  }
  // results[tiles, columns] = values[tiles, depth] * U: one product of some columns, whose first panel is at `from`
  void product(const Product& e, int64_t tiles, const float* from, Columns part, WinogradPlanes values,
               WinogradPlanes results, const Prefetches& prefetches) const {
    p.gemm.multiply({tiles, part.count, depth, values.data + e.plane * values.plane, values.row, 1,
                     from + e.filter * plane(), panel(), p.panel, results.data + e.plane * results.plane + part.first,
                     results.row, false, nullptr, 0, prefetches});
  }
  void multiply(Team& team, int64_t tiles, WinogradPlanes values, WinogradPlanes results) const {
    if (!p.one_block()) {
      const Product* const all = p.products.all.data();
      const int64_t parts = p.parts(columns, team.size), items = std::ssize(p.products.all) * parts;
      return team.each(items, [&](int64_t i, int64_t then) {
        const Columns part = p.part(columns, i % parts, parts);
        product(all[i / parts], tiles, u + part.first / p.panel * panel(), part, values, results,
                prefetch(then < items ? all + then / parts : nullptr, tiles, values, results));
      });
    }
    float* const own = u + team.rank * floats();
    team.each(groups.count, [&](int64_t g, int64_t) {
      const Columns part = groups.of(g, columns);
      for (int64_t j = 0; j < ceil_div(part.count, p.panel); ++j) make(part.first / p.panel + j, own + j * panel());
      p.products.each([&](const Product& e, const Product* next) {
        product(e, tiles, own, part, values, results, {p.rows_of(values, p.prefetches ? next : nullptr, tiles)});
      });
    });
  }
};

// dU, [36][C][K]: one per chunk, or where all tiles are one block, the columns of a group per thread.
template <class T>
struct WeightGradients {
  const Problem<T>& p;
  T* dw;
  Groups groups;
  int64_t row;
  float* du;
  WeightGradients(const Problem<T>& problem, T* gradients, bool needed, Space& space)
      : p(problem),
        dw(gradients),
        groups(p.panel, p.schedule.threads, p.s.k),
        row(p.one_block() ? groups.size : p.s.k),
        du(space.take(!needed ? 0 : floats() * (p.one_block() ? p.schedule.threads : p.schedule.chunks))) {}
  int64_t plane() const { return p.s.c * row + line; }
  int64_t floats() const { return filters * plane(); }
  void finish(int64_t first, int64_t count, const float* from) const {
    p.transform.weight_gradients(from, plane(), row, p.schedule.chunks, floats(), p.s.c * 9, 9, count, p.s.c,
                                 dw + first * p.s.c * 9);
  }
  void finish_all() const {
    if (p.one_block()) return;
#pragma omp parallel for schedule(static) num_threads(p.schedule.threads)
    for (int64_t k = 0; k < p.s.k; k += line) finish(k, line, du + k);
  }
  Prefetch plane_of(const Product& e, const float* from) const {
    return {from + e.filter * plane(), plane() * int64_t{sizeof(float)}};
  }
  Prefetches prefetch(const Product* next, int64_t tiles, const float* from, WinogradPlanes v, WinogradPlanes m) const {
    if (!p.prefetches || !next) return {};
    return {plane_of(*next, from), p.rows_of(v, next, tiles), p.rows_of(m, next, tiles)};
  }
  // dU += V^T dM of these tiles: one product of some columns, whose first is at `to`
  void product(const Product& e, bool begins, int64_t tiles, Columns part, float* to, WinogradPlanes v,
               WinogradPlanes m, const Prefetches& prefetches) const {
    p.gemm.multiply({p.s.c, part.count, tiles, v.data + e.plane * v.plane, 1, v.row,
                     m.data + e.plane * m.plane + part.first, p.panel, m.row, to + e.filter * plane(), row,
                     !(begins && e.first), nullptr, 0, prefetches});
  }
  void accumulate(Team& team, bool begins, int64_t tiles, WinogradPlanes v, WinogradPlanes m) const {
    if (!p.one_block()) {
      // By filters, into whose dU all their planes are summed; the last ones have the most.
      const int64_t parts = p.parts(p.s.k, team.size), items = filters * parts;
      auto products_of = [&](int64_t i) { return p.products.of[filters - 1 - i / parts]; };
      return team.each(items, [&](int64_t i, int64_t then) {
        const Columns part = p.part(p.s.k, i % parts, parts);
        const std::span<const Product> all = products_of(i);
        for (const Product& e : all) {
          const Product* next = &e != &all.back() ? &e + 1 : then < items ? products_of(then).data() : nullptr;
          product(e, begins, tiles, part, du + part.first, v, m, prefetch(next, tiles, du, v, m));
        }
      });
    }
    float* const own = du + team.rank * floats();
    team.each(groups.count, [&](int64_t g, int64_t) {
      const Columns part = groups.of(g, p.s.k);
      p.products.each([&](const Product& e, const Product* next) {
        Prefetches prefetches = prefetch(next, tiles, own, v, m);
        prefetches[2] = {};  // of whose rows the group reads few columns
        product(e, begins, tiles, part, own, v, m, prefetches);
      });
      finish(part.first, part.count, own);
    });
  }
};

// f(team, set of planes, chunk, part of the tiles, whether it is the chunk's first) for every block of every chunk.
template <class T, class F>
void each_block(const Problem<T>& p, F&& f) {
  const Schedule& schedule = p.schedule;
  const int64_t per_image = p.in.tiles();
  std::atomic<int64_t> next = 0;
  auto chunk = [&](Team team, int64_t set, int64_t c) {
    const int64_t begin = p.s.n * c / schedule.chunks * per_image, end = p.s.n * (c + 1) / schedule.chunks * per_image;
    for (int64_t t = begin; t < end; t += schedule.block)
      f(team, set, c, t, std::min(schedule.block, end - t), t == begin);
  };
#pragma omp parallel num_threads(schedule.threads)
  {
    const int64_t rank = omp_get_thread_num();
    if (schedule.together)
      chunk({rank, omp_get_num_threads(), &next}, 0, 0);
    else
      for (int64_t c; (c = next.fetch_add(1)) < schedule.chunks;) chunk({0, 1}, rank, c);
  }
}

// A thread's part of a transform; rows are those of the block.
struct Share {
  WinogradPart part;
  int64_t row;
  Share(const Team& team, int64_t first, int64_t tiles, int64_t channels, bool whole_images, int64_t per_image) {
    const int64_t unit = whole_images ? per_image : 1, units = tiles / unit;
    if (units >= 2 * team.size || team.size == 1) {
      const int64_t begin = units * team.rank / team.size * unit, end = units * (team.rank + 1) / team.size * unit;
      part = {first + begin, team.size == 1 ? tiles : end - begin, 0, channels};
      row = begin;
    } else {
      const int64_t groups = channels / 16;
      const int64_t begin = groups * team.rank / team.size * 16, end = groups * (team.rank + 1) / team.size * 16;
      part = {first, tiles, begin, end - begin};
      row = 0;
    }
  }
  WinogradPlanes of(WinogradPlanes planes) const {
    planes.data += row * planes.row + part.channel;
    return planes;
  }
};

}  // namespace rt::cpu::winograd
