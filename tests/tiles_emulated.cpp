// The matrix product in tiles once more, without the tile unit.
#define RT_ISA emulated_tiles
#define RT_TILES "tests/support/tiles.hpp"
#include "kernels/gemm/gemm_amx_simd.cpp"
