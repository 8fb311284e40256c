// Random numbers: streams that depend on their name alone, distributions, shuffles.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/rng.hpp"

using namespace rt;

TEST_CASE("rng: a stream depends only on its name, and Philox-4x32-10 gives its published numbers") {
  // Known answers of Random123: counter 0, key 0.
  Rng zero(0, static_cast<RngPurpose>(0));
  CHECK(zero.next() == 0x6627e8d5u);
  CHECK(zero.next() == 0xe169c58du);
  CHECK(zero.next() == 0xbc57ac4cu);
  CHECK(zero.next() == 0x9b00dbd8u);
  Rng a(7, RngPurpose::test, 1, 2), b(7, RngPurpose::test, 1, 2), c(7, RngPurpose::test, 1, 3);
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const uint32_t x = a.next();
    CHECK(x == b.next());
    differs |= x != c.next();
  }
  CHECK(differs);
}

TEST_CASE("rng: uniform, below and normal have the moments they should") {
  Rng rng(1, RngPurpose::test);
  double mean = 0, square = 0;
  int counts[7] = {};
  for (int i = 0; i < 70000; ++i) {
    const double z = rng.normal();
    mean += z / 70000;
    square += z * z / 70000;
    ++counts[rng.below(7)];
    const float u = rng.uniform();
    CHECK((u >= 0.0f && u < 1.0f));
  }
  CHECK(std::abs(mean) < 0.02);
  CHECK(std::abs(square - 1) < 0.03);
  for (int c : counts) CHECK(std::abs(c - 10000) < 500);
}

TEST_CASE("rng: a normal is Box-Muller's of the C library, and a batch is the stream's") {
  Rng one(5, RngPurpose::test), raw = one, many = one;
  double batch[1500];
  many.normals(batch, 1500);
  for (const double in_batch : batch) {
    const double u = (raw.next() + 0.5) * 0x1p-32, v = (raw.next() + 0.5) * 0x1p-32;
    const double expected = std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
    CHECK(std::abs(in_batch - expected) <= 1e-15 * std::abs(expected));
    CHECK(one.normal() == in_batch);
  }
  CHECK(many.next() == raw.next());  // number 3000
  Rng later = raw.from(3000);        // counted from the stream's beginning, however far `raw` is
  CHECK(later.next() == one.next());
  CHECK(later.next() == raw.next());  // number 3001
}

TEST_CASE("rng: shuffled is a permutation that changes with the epoch") {
  auto a = shuffled(1000, 3, RngPurpose::shuffle, 0), b = shuffled(1000, 3, RngPurpose::shuffle, 1);
  CHECK(a == shuffled(1000, 3, RngPurpose::shuffle, 0));
  CHECK(a != b);
  std::sort(a.begin(), a.end());
  for (uint32_t i = 0; i < 1000; ++i) CHECK(a[i] == i);
}
