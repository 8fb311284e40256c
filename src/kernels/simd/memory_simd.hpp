// For *_simd.cpp files only: how loops that are bound by memory touch it. write() stores out[i] = f(i) in vectors,
// through the caches or past them. A value much larger than the caches is gone from them before anybody reads it, so
// reading its old lines in order to write them is wasted: a third of the traffic of a copy. f is given a place instead
// of an index and is compiled for two kinds of it, for compilers do not make vectors of a plain loop that selects and
// then rounds:
//   write<stream>(y, n, [=](auto at) { return positive(at(x) * at(scale) + at(shift)); });
#pragma once
#include "kernels/simd/simd.hpp"

namespace rt::RT_ISA {

// Places: at(x) is x[i] in f32, whatever x is stored in: of a vector of adjacent i, or of i alone where a row ends.
struct Adjacent {
  int64_t i;
  template <class T>
  Vec operator()(const T* x) const {
    return load(x + i);
  }
};
struct Alone {
  int64_t i;
  template <class T>
  float operator()(const T* x) const {
    return x[i];
  }
};

static inline float positive(float x) { return x <= 0 ? 0.0f : x; }  // relu; a NaN stays
static inline Vec positive(Vec x) { return x <= 0 ? Vec{} : x; }
static inline float where_positive(float y, float x) { return y > 0 ? x : 0.0f; }
static inline Vec where_positive(Vec y, Vec x) { return y > 0 ? x : Vec{}; }
template <class T>
static inline float stored(float x) {
  return static_cast<T>(x);
}

// Arm's cores see by themselves that whole lines are being written in a run, and let those pass the caches.
#if defined(__aarch64__)
inline constexpr bool can_stream = false;
#else
inline constexpr bool can_stream = true;
#endif

static inline void stream_vector(void* to, const void* from) {
  Vec v;
  __builtin_memcpy(&v, from, sizeof v);
#if defined(__clang__)
  __builtin_nontemporal_store(v, static_cast<Vec*>(to));
#elif defined(RT_ISA_avx512)
  __builtin_ia32_movntps512(static_cast<float*>(to), v);
#elif defined(RT_ISA_avx2)
  __builtin_ia32_movntps256(static_cast<float*>(to), v);
#elif defined(__SSE__)
  __builtin_ia32_movntps(static_cast<float*>(to), v);
#else
  *static_cast<Vec*>(to) = v;
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

// out[i] = f(from + i) for i < n.
template <class T, class F>
static inline void write_cached(T* out, int64_t from, int64_t n, F f) {
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store(out + i, f(Adjacent{from + i}));
  for (; i < n; ++i) out[i] = static_cast<T>(f(Alone{from + i}));
}

// out[i] = f(i) for i < n. `out` may be one of the arrays that f reads. Streaming: out is aligned to a vector.
template <bool stream, class T, class F>
static inline void write(T* out, int64_t n, F f) {
  keep_row_order();
  if constexpr (!stream || !can_stream) {
    write_cached(out, 0, n, f);
  } else {
    constexpr int64_t size = 512, vector = sizeof(Vec) / sizeof(T);
    alignas(64) T tile[size];
    for (int64_t begin = 0; begin < n; begin += size) {
      const int64_t count = n - begin < size ? n - begin : size;
      write_cached(tile, begin, count, f);
      int64_t i = 0;
      for (; i + vector <= count; i += vector) stream_vector(out + begin + i, tile + i);
      for (; i < count; ++i) out[begin + i] = tile[i];
    }
  }
}

}  // namespace rt::RT_ISA
