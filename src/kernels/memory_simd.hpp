// For *_simd.cpp files only: how loops that are bound by memory touch it.
// write() stores out[i] = f(i) in vectors, through the caches or past them. A value much larger than the caches is gone
// from them before anybody reads it, so reading its old lines in order to write them is wasted: a third of the traffic
// of a copy. The compiler cannot be asked for such stores in a plain loop, hence the tile in L1.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace rt::RT_ISA {

#if defined(__AVX512F__)
constexpr int64_t vector_floats = 16;
#elif defined(__AVX__)
constexpr int64_t vector_floats = 8;
#else
constexpr int64_t vector_floats = 4;
#endif
typedef float Vector __attribute__((vector_size(vector_floats * sizeof(float)), may_alias));

static inline void stream_vector(float* to, Vector v) {
#if defined(__clang__)
  __builtin_nontemporal_store(v, reinterpret_cast<Vector*>(to));
#elif defined(__AVX512F__)
  __builtin_ia32_movntps512(to, v);
#elif defined(__AVX__)
  __builtin_ia32_movntps256(to, v);
#elif defined(__SSE__)
  __builtin_ia32_movntps(to, v);
#else
  *reinterpret_cast<Vector*>(to) = v;
#endif
}

// In a loop over rows: the compiler must not work on several rows at a time. It would save loads and stores of running
// sums, but the processor's prefetchers follow one run of addresses: a sum falls to a third of the bandwidth.
static inline void keep_row_order() { asm volatile("" ::: "memory"); }

// After the last streaming write of a thread, before others may read.
template <bool stream>
static inline void finish_writes() {
#if defined(__SSE__)
  if constexpr (stream) __builtin_ia32_sfence();
#endif
}

// out[i] = f(i) for i < n. `out` may be one of the arrays that f reads. Streaming: out is aligned to a vector.
template <bool stream, class F>
static inline void write(float* out, int64_t n, F f) {
  keep_row_order();
  if constexpr (!stream) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) out[i] = f(i);
  } else {
    constexpr int64_t size = 512;
    alignas(64) float tile[size];
    for (int64_t begin = 0; begin < n; begin += size) {
      const int64_t count = n - begin < size ? n - begin : size;
#pragma omp simd
      for (int64_t i = 0; i < count; ++i) tile[i] = f(begin + i);
      int64_t i = 0;
      for (; i + vector_floats <= count; i += vector_floats)
        stream_vector(out + begin + i, *reinterpret_cast<const Vector*>(tile + i));
      for (; i < count; ++i) out[begin + i] = tile[i];
    }
  }
}

}  // namespace rt::RT_ISA
