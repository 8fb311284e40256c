// 16-bit floats on the host, against the definition of their formats: the value of every pattern of bits in f64, and
// the nearest of these values, the even one of two that are as near.
#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/half.hpp"

using namespace rt;

namespace {

struct Format {
  int mantissa_bits, exponent_bits;
  uint16_t (*from)(float);
  float (*to)(uint16_t);

  int bias() const { return (1 << (exponent_bits - 1)) - 1; }
  uint16_t infinity() const { return static_cast<uint16_t>(((1 << exponent_bits) - 1) << mantissa_bits); }
  // Of a pattern below infinity's; of infinity's own what the next number would be.
  double value(uint16_t bits) const {
    const int mantissa = bits & ((1 << mantissa_bits) - 1), exponent = bits >> mantissa_bits;
    if (exponent == 0) return std::ldexp(mantissa, 1 - bias() - mantissa_bits);
    return std::ldexp(mantissa + (1 << mantissa_bits), exponent - bias() - mantissa_bits);
  }
  std::vector<double> values() const {  // from zero to the first that there is not
    std::vector<double> all;
    for (int bits = 0; bits <= infinity(); ++bits) all.push_back(value(static_cast<uint16_t>(bits)));
    return all;
  }
};

uint16_t bf16_bits(float x) { return bf16(x).bits; }
float bf16_value(uint16_t bits) {
  bf16 x;
  x.bits = bits;
  return static_cast<float>(x);
}
const Format formats[] = {{.mantissa_bits = 10, .exponent_bits = 5, .from = f32_to_f16, .to = f16_to_f32},
                          {.mantissa_bits = 7, .exponent_bits = 8, .from = bf16_bits, .to = bf16_value}};

uint16_t nearest(const std::vector<double>& values, double x) {
  const auto above = std::lower_bound(values.begin(), values.end(), x);
  if (above == values.end()) return static_cast<uint16_t>(values.size() - 1);
  const auto at = static_cast<uint16_t>(above - values.begin());
  if (*above == x) return at;
  const double up = *above - x, down = x - values[at - 1u];
  if (up == down) return at % 2 == 0 ? at : static_cast<uint16_t>(at - 1);
  return up < down ? at : static_cast<uint16_t>(at - 1);
}

}  // namespace

TEST_CASE("half: every pattern of 16 bits has its value in f32, and comes back from there") {
  for (const Format& format : formats) {
    int wrong_value = 0, not_back = 0;
    for (int bits = 0; bits <= 0xffff; ++bits) {
      const auto pattern = static_cast<uint16_t>(bits);
      const uint16_t magnitude = pattern & 0x7fff;
      const float x = format.to(pattern);
      const bool negative = (pattern & 0x8000) != 0;
      if (magnitude > format.infinity()) {
        wrong_value += !std::isnan(x);
        const float back = format.to(format.from(x));
        not_back += !std::isnan(back);
        continue;
      }
      const double size = magnitude == format.infinity() ? INFINITY : format.value(magnitude);
      wrong_value += static_cast<double>(x) != (negative ? -size : size) || std::signbit(x) != negative;
      not_back += format.from(x) != pattern;
    }
    CAPTURE(format.mantissa_bits);
    CHECK(wrong_value == 0);
    CHECK(not_back == 0);
  }
}

TEST_CASE("half: f32 becomes the nearest value, the even one of two, at and beside every boundary") {
  for (const Format& format : formats) {
    const std::vector<double> values = format.values();
    int wrong = 0;
    float first_wrong = 0;
    const auto check = [&](float x) {
      if (std::isinf(x)) return;
      for (const bool negative : {false, true}) {
        const uint16_t want = nearest(values, static_cast<double>(x)) | (negative ? 0x8000 : 0);
        if (format.from(negative ? -x : x) == want) continue;
        if (wrong++ == 0) first_wrong = x;
      }
    };
    for (size_t i = 0; i + 1 < values.size(); ++i) {
      // Halfway, and the numbers of f32 on both sides of it; the value itself, and those on both sides.
      for (const double at : {values[i], (values[i] + values[i + 1]) / 2}) {
        const auto x = static_cast<float>(at);
        REQUIRE(static_cast<double>(x) == at);
        check(x);
        check(std::nextafter(x, 0.0f));
        check(std::nextafter(x, std::numeric_limits<float>::infinity()));
      }
    }
    check(std::numeric_limits<float>::max());
    check(std::numeric_limits<float>::denorm_min());
    CAPTURE(format.mantissa_bits);
    CAPTURE(first_wrong);
    CHECK(wrong == 0);
    CHECK(format.from(std::numeric_limits<float>::infinity()) == format.infinity());
    CHECK(format.from(-std::numeric_limits<float>::infinity()) == (format.infinity() | 0x8000));
  }
}

TEST_CASE("half: a NaN stays one, also where rounding up its bits would make infinity or zero of it") {
  for (const Format& format : formats)
    for (const uint32_t bits : {0x7f800001u, 0x7f80ffffu, 0x7fffffffu, 0x7fc00000u, 0xff800001u, 0xffffffffu}) {
      CAPTURE(format.mantissa_bits);
      CAPTURE(bits);
      CHECK((format.from(std::bit_cast<float>(bits)) & 0x7fff) > format.infinity());
    }
}
