// A convolution as Winograd's algorithm sees it: its sizes, its kernels, its schedule, and the list of matrix products
// that a block of tiles needs.
#pragma once
#include <span>
#include <vector>

#include "kernels/conv2d/winograd/conv2d_winograd.hpp"
#include "kernels/conv2d/winograd/schedule.hpp"

namespace rt::cpu::winograd {

constexpr int64_t filters = 36;  // planes of U
constexpr int64_t line = 16;     // floats: planes a power of two apart would share few sets of the L1 cache

// Hands out parts of a workspace, or where `base` is null, only counts them.
struct Space {
  float* base;
  int64_t used = 0;
  float* take(int64_t floats) {
    float* at = base ? base + used : nullptr;
    used += round_up(floats, line);
    return at;
  }
};

// One product of a block: plane `plane` of V and M with plane `filter` of U.
struct Product {
  int64_t plane, filter;
  bool first;  // of the products with that filter
};
// All products of a block, filter by filter. With stride 2 the last four of the 9 values of a line share a filter.
struct Products {
  std::vector<Product> all;
  std::span<const Product> of_filter[filters];
  explicit Products(int64_t values) {
    int64_t begin[filters + 1] = {};
    for (int64_t filter = 0; filter < filters; ++filter) {
      for (int64_t r = 0; r < values; ++r)
        for (int64_t q = 0; q < values; ++q)
          if (std::min<int64_t>(r, 5) * 6 + std::min<int64_t>(q, 5) == filter)
            all.push_back({.plane = r * values + q, .filter = filter, .first = std::ssize(all) == begin[filter]});
      begin[filter + 1] = std::ssize(all);
    }
    for (int64_t filter = 0; filter < filters; ++filter)
      of_filter[filter] = {all.begin() + begin[filter], all.begin() + begin[filter + 1]};
  }
  // Calls f(product, the next one or null).
  template <class F>
  void each(F&& f) const {
    for (size_t i = 0; i < all.size(); ++i) f(all[i], i + 1 < all.size() ? &all[i + 1] : nullptr);
  }
};
using Prefetch = GemmBlock::Prefetch;
using Prefetches = GemmBlock::Prefetches;

template <class T>
struct Layer {
  Conv2dShape s;
  const WinogradKernels<T>& transform;
  const GemmKernels& gemm;
  const BatchNormKernels& batch_norm;
  const Products& products;
  WinogradGrid in, out;
  Schedule schedule;
  int64_t panel;    // columns of a panel of U
  bool prefetches;  // a product asks for the memory that the next one needs
  Layer(const Kernels& k, const Conv2dShape& shape)
      : s(shape),
        transform(k.transforms.of<T>(s.stride)),
        gemm(k.gemm),
        batch_norm(k.batch_norm),
        products(products_of(transform.values)),
        in{.h = s.h, .w = s.w, .channels = s.c, .rows = ceil_div(s.p, 4), .columns = ceil_div(s.q, 4)},
        out{.h = s.p, .w = s.q, .channels = s.k, .rows = in.rows, .columns = in.columns},
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
  WinogradPlanes planes(float* data, int64_t channels) const {
    return {.data = data, .plane = plane(channels), .row = row(channels)};
  }
  int64_t tiles() const { return s.n * in.tiles(); }
  // What the product `next`, which may be null, reads or writes of `planes`.
  Prefetch rows_of(WinogradPlanes planes, const Product* next, int64_t tiles) const {
    if (!next) return {};
    return {.at = planes.data + next->plane * planes.plane, .bytes = tiles * planes.row * int64_t{sizeof(float)}};
  }
  // Columns are cut in parts where planes alone would not keep so many threads busy; no sum runs over columns.
  int64_t parts(int64_t columns, int64_t threads) const {
    return std::min(ceil_div(columns, panel), ceil_div(threads, 6));
  }
  Columns part(int64_t columns, int64_t number, int64_t parts) const {
    const int64_t panels = ceil_div(columns, panel), first = panels * number / parts * panel;
    return {.first = first, .count = std::min(columns, panels * (number + 1) / parts * panel) - first};
  }
  bool one_block() const { return schedule.together && schedule.block >= tiles(); }
  // Sets of planes: one per thread, or one that all share.
  int64_t sets() const { return schedule.together ? 1 : schedule.threads; }
};

}  // namespace rt::cpu::winograd
