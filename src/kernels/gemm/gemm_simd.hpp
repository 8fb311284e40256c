// The one matrix product that every dense kernel stands on:  C[m x n] = A[m x depth] * B[depth x n], or += it.
// A and C are matrices with a row stride; B comes in panels of `columns` columns, each of which stays in cache
// while the rows of A pass by. Each element of C is one chain of fused multiply-adds in the order of the depth,
// continued across calls by `accumulate`: its bits do not depend on m, n or tile sizes. (Tiles of AMX add up in blocks
// of the depth, which do not depend on those either.)
// An element of A and B is an f32, or a pair of bf16 where the instruction set multiplies and sums such pairs (twice as
// many products in the same time); C is summed in f32.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <array>

#include "core/half.hpp"

namespace rt {

// Two adjacent numbers along the depth.
struct Bf16Pair {
  bf16 first, second;
};

template <class Element>
struct GemmBlockOf {
  int64_t m, n, depth;  // depth in elements
  const Element* a;     // A(i,d) at a[i * a_row + d * a_step]; one of the two strides is 1
  int64_t a_row, a_step;
  const Element* b;  // B(d,j) at b[j / columns * b_panel + d * b_step + j % columns]; readable to the panel's end
  int64_t b_panel, b_step;
  float* c;  // C(i,j) at c[i * c_row + j]; nothing beyond n columns is touched
  int64_t c_row;
  bool accumulate;
  // If given, results go to rounded[i * rounded_row + j], rounded, and c is only read to add to. AMX does not round
  // where a_row is 1.
  bf16* rounded = nullptr;
  int64_t rounded_row = 0;
  // Memory that the next product touches, which is prefetched into the L2 cache meanwhile. Products that find
  // everything in a cache are faster without.
  struct Prefetch {
    const void* at = nullptr;
    int64_t bytes = 0;
  };
  using Prefetches = std::array<Prefetch, 3>;
  Prefetches prefetch = {};
};

// A product whose A is the windows of an image of pairs, where they lie. Rows of A, which are pixels of the result,
// come in tiles of `height`, at most 16, whose windows are `pixel` pairs apart.
struct GemmWindows {
  int64_t tiles, height, tiles_per_row;  // tiles_per_row: of the image
  const Bf16Pair* a;
  int64_t pixel, row;        // pairs from one pixel to the next, and from one row of tiles to the next
  const int64_t* taps;       // where each tap's pairs begin, seen from the window's begin
  int64_t tap_count, depth;  // pairs of a tap, a multiple of 16
  int64_t n;                 // columns, a multiple of the panels'
  const Bf16Pair* b;         // panels of 32 columns: [panel][tap and pair][column]
  int64_t b_panel;
  bf16* rounded;  // the results: rounded[pixel * rounded_row + column]
  int64_t rounded_row;
};

template <class Element>
struct GemmKernelsOf {
  int rows, columns;  // of the tile that is held in registers
  void (*multiply)(const GemmBlockOf<Element>&);
  void (*multiply_windows)(const GemmWindows&) = nullptr;  // where the instruction set reads rows that lie apart
};

using GemmBlock = GemmBlockOf<float>;
using GemmKernels = GemmKernelsOf<float>;

}  // namespace rt
