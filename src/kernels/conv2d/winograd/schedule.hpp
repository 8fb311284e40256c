// How the tiles of a convolution are cut into blocks and spread over threads. There are two schedules, chosen by shape:
//
//   Alone, for large maps with few channels: the batch is cut into chunks of images. A thread takes one chunk at a time
//   and takes its tiles through transform, products and inverse, block by block, so that a block stays in the thread's
//   cache. dU has a copy per chunk, and no more than 16 threads find work.
//
//   Together, for small maps with many channels, where U is far larger than a block, and for batches of fewer than 8
//   images: all threads work on the same block. The transforms are split by tiles. The products are split by planes
//   (those of dU by filters), or where all tiles are one block and each number of U is needed once, by columns of U.
#pragma once
#include <omp.h>

#include <algorithm>
#include <atomic>

#include "core/device.hpp"
#include "core/divide.hpp"
#include "kernels/conv2d/conv2d.hpp"
#include "kernels/conv2d/winograd/winograd_simd.hpp"

namespace rt::cpu::winograd {

// The threads that work on one block.
struct Team {
  int64_t rank, size;
  std::atomic<int64_t>* next = nullptr;  // the lowest number that nobody has taken yet
  int64_t taken = 0;                     // numbers that earlier calls of each() used up
  void wait() const {
    if (size > 1) {
#pragma omp barrier
    }
  }
  // Calls f(i, then) for i from 0 to count - 1, each by the first thread that is free; `then` is what the thread will
  // probably take after i, or `count`. All threads call it, with a wait() before the next time.
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
  // rows: the height of the matrix product's tile; wanted: tiles of a block, 0 for the usual number
  Schedule(const Conv2dShape& s, const WinogradGrid& grid, int64_t rows, int64_t wanted) {
    together = s.c * s.k > 128 * 128 || s.n < 8;
    if (together) {
      chunks = 1;
      const int64_t images = std::clamp<int64_t>((wanted ? wanted : tiles_together) / grid.tiles(), 1, s.n);
      block = ceil_div(s.n, ceil_div(s.n, images)) * grid.tiles();
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

// Columns of a matrix product.
struct Columns {
  int64_t first, count;
};

// Where all tiles are one block, a thread makes a group of U's columns, multiplies by them, and takes the next group.
// There are about as many groups as threads, or twice or three times as many.
struct Groups {
  int64_t size;   // columns of one group, whole panels
  int64_t count;  // groups
  Groups(int64_t panel, int64_t threads, int64_t columns) {
    const int64_t panels = ceil_div(columns, panel), rounds = ceil_div(panels, most_panels * threads);
    size = ceil_div(panels, rounds * threads) * panel;
    count = ceil_div(columns, size);
  }
  Columns of(int64_t group, int64_t columns) const { return {group * size, std::min(size, columns - group * size)}; }
  static constexpr int64_t most_panels = 4;  // of a group; more would leave no L2 cache for the values
};

// The part of a block that a thread of the team transforms: some of the tiles, or where there are few, some of the
// channels of all.
struct Share {
  WinogradPart part;
  int64_t row;  // of the block's planes, where the part begins
  Share(const Team& team, int64_t first, int64_t tiles, int64_t channels, bool whole_images, int64_t per_image) {
    const int64_t unit = whole_images ? per_image : 1, units = tiles / unit;
    if (units >= 2 * team.size || team.size == 1) {
      const int64_t begin = units * team.rank / team.size * unit, end = units * (team.rank + 1) / team.size * unit;
      part = {
          .first = first + begin, .tiles = team.size == 1 ? tiles : end - begin, .channel = 0, .channels = channels};
      row = begin;
    } else {
      const int64_t vectors = channels / 16;
      const int64_t begin = vectors * team.rank / team.size * 16, end = vectors * (team.rank + 1) / team.size * 16;
      part = {.first = first, .tiles = tiles, .channel = begin, .channels = end - begin};
      row = 0;
    }
  }
  WinogradPlanes of(WinogradPlanes planes) const {
    planes.data += row * planes.row + part.channel;
    return planes;
  }
};

// What a thread is given of a schedule: tiles [first, first + tiles) of the batch.
struct Block {
  int64_t set;    // of planes, which is the thread's own or the team's
  int64_t chunk;  // that the tiles belong to
  int64_t first, tiles;
  bool begins;  // it is the chunk's first
};

// Calls f(team, block) for every block of every chunk.
template <class F>
void each_block(const Schedule& schedule, int64_t images, int64_t tiles_per_image, F&& f) {
  std::atomic<int64_t> next = 0;
  auto chunk = [&](Team team, int64_t set, int64_t c) {
    const int64_t begin = images * c / schedule.chunks * tiles_per_image;
    const int64_t end = images * (c + 1) / schedule.chunks * tiles_per_image;
    for (int64_t t = begin; t < end; t += schedule.block)
      f(team,
        Block{.set = set, .chunk = c, .first = t, .tiles = std::min(schedule.block, end - t), .begins = t == begin});
  };
#pragma omp parallel num_threads(schedule.threads)
  {
    const int64_t rank = omp_get_thread_num();
    if (schedule.together)
      chunk({.rank = rank, .size = omp_get_num_threads(), .next = &next}, 0, 0);
    else
      for (int64_t c; (c = next.fetch_add(1)) < schedule.chunks;) chunk({.rank = 0, .size = 1}, rank, c);
  }
}

}  // namespace rt::cpu::winograd
