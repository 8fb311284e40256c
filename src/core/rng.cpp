// Normal numbers are drawn with a logarithm and a cosine of our own: branch-free, so that compilers make vectors of
// them, and the same with every C library. Both are those of FreeBSD's msun (Sun Microsystems, 1993), within one ulp
// over the ranges that occur; as f32, in which weights are kept, they give what glibc's give.
#include "core/rng.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

namespace rt {
namespace {

constexpr uint64_t bits_of_2_52 = 0x4330000000000000;
// n must be below 2^52. SSE2 and NEON convert no 64-bit integers in vectors.
inline double exact_double(uint64_t n) { return std::bit_cast<double>(bits_of_2_52 | n) - 0x1p52; }

inline double log_of_fraction(double x) {             // 0 < x < 1, not subnormal
  constexpr uint64_t below_one = 0x3fe6a09e00000000;  // sqrt(1/2): x = 2^k (1 + f), 1 + f from there to sqrt(2)
  const uint64_t bits = std::bit_cast<uint64_t>(x) + (0x3ff0000000000000 - below_one);
  const double k = exact_double(bits >> 52) - 1023;
  const double f = std::bit_cast<double>((bits & 0x000fffffffffffff) + below_one) - 1;
  const double s = f / (2 + f), z = s * s, w = z * z, half_square = 0.5 * f * f;
  const double even = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
  const double odd =
      z * (6.666666666666735130e-01 +
           w * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
  constexpr double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
  return s * (half_square + (odd + even)) + k * ln2_low - half_square + f + k * ln2_high;
}

inline double cos_of_angle(double a) {  // 0 <= a <= 2 pi
  const double quarters = a * (2 / std::numbers::pi) + 0x1.8p52, q = quarters - 0x1.8p52;
  const uint64_t quadrant = std::bit_cast<uint64_t>(quarters);
  constexpr double half_pi_high = 1.57079632673412561417e+00, half_pi_low = 6.07710050650619224932e-11;  // 33 + 53 bits
  const double x = (a - q * half_pi_high) - q * half_pi_low, z = x * x;
  const double sine = x + x * z *
                              (-1.66666666666666324348e-01 +
                               z * (8.33333333332248946124e-03 +
                                    z * (-1.98412698298579493134e-04 +
                                         z * (2.75573137070700676789e-06 +
                                              z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)))));
  const double tail = z * z *
                      (4.16666666666666019037e-02 +
                       z * (-1.38888888888741095749e-03 +
                            z * (2.48015872894767294178e-05 +
                                 z * (-2.75573143513906633035e-07 +
                                      z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11)))));
  const double half = 0.5 * z, rest = 1 - half;
  const double cosine = rest + ((1 - rest - half) + tail);
  const uint64_t odd = 0 - (quadrant & 1), sign = (quadrant + 1) << 62 & 0x8000000000000000;  // quadrants 1 and 2
  return std::bit_cast<double>(((std::bit_cast<uint64_t>(sine) & odd) | (std::bit_cast<uint64_t>(cosine) & ~odd)) ^
                               sign);
}

inline double box_muller(uint32_t first, uint32_t second) {
  const double u = (exact_double(first) + 0.5) * 0x1p-32,
               v = (exact_double(second) + 0.5) * 0x1p-32;  // neither 0 nor 1
  return std::sqrt(-2.0 * log_of_fraction(u)) * cos_of_angle(2.0 * std::numbers::pi * v);
}

}  // namespace

double Rng::normal() {
  const uint32_t first = next(), second = next();
  return box_muller(first, second);
}

void Rng::normals(double* out, int64_t n) {
  constexpr int64_t most = 512;
  uint32_t first[most], second[most];
  for (int64_t begin = 0; begin < n; begin += most) {
    const int64_t count = std::min(most, n - begin);
    for (int64_t i = 0; i < count; ++i) {
      first[i] = next();
      second[i] = next();
    }
    for (int64_t i = 0; i < count; ++i) out[begin + i] = box_muller(first[i], second[i]);
  }
}

std::vector<uint32_t> shuffled(uint32_t n, uint64_t seed, RngPurpose purpose, uint32_t epoch) {
  std::vector<uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0u);
  Rng rng(seed, purpose, epoch);
  for (uint32_t i = n; i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
  return order;
}

}  // namespace rt
