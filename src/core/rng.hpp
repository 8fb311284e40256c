// Counter-based random numbers: Philox-4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2,
// 3", SC 2011). Integer arithmetic only, so host and device, one worker or many, draw the same numbers. A stream is
// named by (seed, purpose, a, b): its numbers do not depend on what was drawn elsewhere, nor in which order.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "core/host_device.hpp"

namespace rt {

// What a stream is for; two purposes never share numbers.
enum class RngPurpose : uint32_t { init = 1, shuffle = 2, augment = 3, synth = 4, split = 5, test = 6, sample = 7 };

class Rng {
 public:
  // a and b are free for the caller: an epoch and a sample index, a parameter's number, an image's number.
  RT_HOST_DEVICE Rng(uint64_t seed, RngPurpose purpose, uint32_t a = 0, uint32_t b = 0)
      : key_{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)},
        counter_{0, static_cast<uint32_t>(purpose), a, b} {}

  RT_HOST_DEVICE uint32_t next() {
    if (used_ == 4) refill();
    return block_[used_++];
  }
  // Uniform in [0, n), without bias (Lemire's multiplication with rejection). n > 0.
  RT_HOST_DEVICE uint32_t below(uint32_t n) {
    uint64_t product = static_cast<uint64_t>(next()) * n;
    if (static_cast<uint32_t>(product) < n) {
      const uint32_t threshold = (0u - n) % n;
      while (static_cast<uint32_t>(product) < threshold) product = static_cast<uint64_t>(next()) * n;
    }
    return static_cast<uint32_t>(product >> 32);
  }
  // Uniform in [0, 1): 24 bits, exact in f32.
  RT_HOST_DEVICE float uniform() { return static_cast<float>(next() >> 8) * 0x1p-24f; }
  RT_HOST_DEVICE float uniform(float low, float high) { return low + (high - low) * uniform(); }
  // Standard normal by Box-Muller, of two numbers; on the host only. normals() is n of them at once.
  double normal();
  void normals(double* out, int64_t n);
  // The same stream from its number `first` on, counted from its beginning; a multiple of 4.
  Rng from(int64_t first) const {
    Rng r = *this;
    r.counter_[0] = static_cast<uint32_t>(first / 4);
    r.used_ = 4;
    return r;
  }

 private:
  RT_HOST_DEVICE static void mul_hi_lo(uint32_t a, uint32_t b, uint32_t& hi, uint32_t& lo) {
    const uint64_t p = static_cast<uint64_t>(a) * b;
    hi = static_cast<uint32_t>(p >> 32);
    lo = static_cast<uint32_t>(p);
  }
  RT_HOST_DEVICE void refill() {
    uint32_t c0 = counter_[0], c1 = counter_[1], c2 = counter_[2], c3 = counter_[3], k0 = key_[0], k1 = key_[1];
    for (int round = 0; round < 10; ++round) {
      uint32_t hi0, lo0, hi1, lo1;
      mul_hi_lo(0xD2511F53u, c0, hi0, lo0);
      mul_hi_lo(0xCD9E8D57u, c2, hi1, lo1);
      c0 = hi1 ^ c1 ^ k0;
      c1 = lo1;
      c2 = hi0 ^ c3 ^ k1;
      c3 = lo0;
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    block_[0] = c0;
    block_[1] = c1;
    block_[2] = c2;
    block_[3] = c3;
    ++counter_[0];
    used_ = 0;
  }

  uint32_t key_[2];
  uint32_t counter_[4];
  uint32_t block_[4] = {};
  int used_ = 4;
};

// The permutation of 0..n-1 that (seed, epoch) names: Fisher-Yates on a stream of its own.
std::vector<uint32_t> shuffled(uint32_t n, uint64_t seed, RngPurpose purpose, uint32_t epoch);

}  // namespace rt
