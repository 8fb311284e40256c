// AMX's tile unit in plain C++, for machines that have none: kernels/gemm/gemm_amx_simd.cpp includes it as RT_TILES.
// What the processor refuses to do ends the program here too.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/half.hpp"

namespace rt {

struct TileUnit {
  struct Tile {
    int rows = 0, bytes = 0;
    char data[16][64];
    template <class T>
    T at(int row, int column) const {
      T x;
      std::memcpy(&x, data[row] + static_cast<size_t>(column) * sizeof(T), sizeof x);
      return x;
    }
  };
  Tile tiles[8];
  bool configured = false;

  void require(bool holds, const char* what) const {
    if (holds) return;
    std::fprintf(stderr, "tiles: %s\n", what);
    std::abort();
  }
  Tile& tile(int t) {
    require(configured && tiles[t].rows > 0, "one is used that has no shape");
    return tiles[t];
  }
};
inline thread_local TileUnit tile_unit;

inline void _tile_loadconfig(const void* from) {
  unsigned char c[64];
  std::memcpy(c, from, sizeof c);
  tile_unit.require(c[0] == 1, "another palette than 1");
  for (int i = 1; i < 16; ++i) tile_unit.require(c[i] == 0, "a start row, or what is reserved");
  for (int t = 0; t < 8; ++t) {
    const int bytes = c[16 + 2 * t] + 256 * c[17 + 2 * t], rows = c[48 + t];
    tile_unit.require(rows <= 16 && bytes <= 64 && (rows == 0) == (bytes == 0), "a shape that there is not");
    tile_unit.tiles[t] = {rows, bytes, {}};
  }
  tile_unit.configured = true;
}
inline void _tile_release() { tile_unit = {}; }
inline void _tile_zero(int t) { std::memset(tile_unit.tile(t).data, 0, sizeof tile_unit.tile(t).data); }
inline void _tile_loadd(int t, const void* from, int64_t stride) {
  _tile_zero(t);
  const TileUnit::Tile& tile = tile_unit.tile(t);
  for (int i = 0; i < tile.rows; ++i)
    std::memcpy(tile_unit.tile(t).data[i], static_cast<const char*>(from) + i * stride,
                static_cast<size_t>(tile.bytes));
}
inline void _tile_stored(int t, void* to, int64_t stride) {
  const TileUnit::Tile& tile = tile_unit.tile(t);
  for (int i = 0; i < tile.rows; ++i)
    std::memcpy(static_cast<char*>(to) + i * stride, tile.data[i], static_cast<size_t>(tile.bytes));
}
inline void _tile_dpbf16ps(int to, int left, int right) {
  TileUnit::Tile& c = tile_unit.tile(to);
  const TileUnit::Tile &a = tile_unit.tile(left), &b = tile_unit.tile(right);
  tile_unit.require(a.rows == c.rows && b.rows * 4 == a.bytes && b.bytes == c.bytes, "shapes that do not fit");
  for (int i = 0; i < c.rows; ++i)
    for (int j = 0; j < c.bytes / 4; ++j) {
      float sums[2] = {};
      for (int k = 0; k < b.rows; ++k)
        for (int half : {0, 1})
          sums[half] = std::fma(static_cast<float>(a.at<bf16>(i, 2 * k + half)),
                                static_cast<float>(b.at<bf16>(k, 2 * j + half)), sums[half]);
      const float sum = c.at<float>(i, j) + (sums[0] + sums[1]);
      std::memcpy(c.data[i] + 4 * j, &sum, sizeof sum);
    }
}

}  // namespace rt
