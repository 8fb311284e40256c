// Drawing one image of the synthetic set. A shape is a function of a point (u right, v down, in units of its radius);
// a pixel's coverage is the mean over 2x2 points, so edges are anti-aliased.
#include <algorithm>
#include <array>
#include <cmath>

#include "core/rng.hpp"
#include "data/synth.hpp"

namespace rt {
namespace {

constexpr int side = 32, plane = side * side;
using Color = std::array<float, 3>;

enum Shape { disc, ring, square, triangle, plus, star, horizontal_stripes, vertical_stripes, checker, crescent };

bool odd(float x) { return (static_cast<int>(x) & 1) != 0; }

bool inside(int shape, float u, float v) {
  const float r2 = u * u + v * v;
  const bool in_box = std::abs(u) <= 0.85f && std::abs(v) <= 0.85f;
  switch (shape) {
    case disc:
      return r2 <= 0.9f * 0.9f;
    case ring:
      return r2 <= 1 && r2 >= 0.55f * 0.55f;
    case square:
      return std::abs(u) <= 0.78f && std::abs(v) <= 0.78f;
    case triangle:
      return v <= 0.55f && 0.8660254f * std::abs(u) - 0.5f * v <= 0.55f;
    case plus:
      return std::max(std::abs(u), std::abs(v)) <= 1 && std::min(std::abs(u), std::abs(v)) <= 0.3f;
    case star: {  // within at least four of the five lines that a pentagram is drawn with
      constexpr float normals[5][2] = {{0, 1},
                                       {0.9510565f, 0.3090170f},
                                       {0.5877853f, -0.8090170f},
                                       {-0.5877853f, -0.8090170f},
                                       {-0.9510565f, 0.3090170f}};
      int within = 0;
      for (const auto& n : normals) within += n[0] * u + n[1] * v <= 0.36f;
      return within >= 4;
    }
    case horizontal_stripes:
      return in_box && !odd((v + 0.85f) * (5 / 1.7f));
    case vertical_stripes:
      return in_box && !odd((u + 0.85f) * (5 / 1.7f));
    case checker:
      return in_box && odd((u + 0.85f) * (4 / 1.7f)) == odd((v + 0.85f) * (4 / 1.7f));
    default:
      return r2 <= 1 && (u - 0.5f) * (u - 0.5f) + v * v >= 0.75f * 0.75f;  // crescent
  }
}

Color random_color(Rng& rng) {
  const float r = rng.uniform(), g = rng.uniform(), b = rng.uniform();
  return {r, g, b};
}

float distance2(const Color& a, const Color& b) {
  float sum = 0;
  for (int c = 0; c < 3; ++c) sum += (a[c] - b[c]) * (a[c] - b[c]);
  return sum;
}

// Mean 0, standard deviation 1: the sum of the four bytes of one number (Irwin-Hall), exact and cheap.
float noise(Rng& rng) {
  const uint32_t x = rng.next();
  const auto sum = static_cast<int>((x & 255) + (x >> 8 & 255) + (x >> 16 & 255) + (x >> 24));
  return static_cast<float>(sum - 510) * (1 / 147.8f);
}

// Small faint discs and bars behind the object, of either colour's kind: they carry no class.
void draw_clutter(Rng& rng, float (&image)[3][plane]) {
  const Color color = random_color(rng);
  const float opacity = rng.uniform(0.25f, 0.5f), x0 = rng.uniform(0, side), y0 = rng.uniform(0, side);
  const float half_width = rng.uniform(1, 4), half_height = rng.uniform(1, 4);
  const bool round = rng.below(2) == 0;
  for (int y = 0; y < side; ++y)
    for (int x = 0; x < side; ++x) {
      const float u = (static_cast<float>(x) + 0.5f - x0) / half_width;
      const float v = (static_cast<float>(y) + 0.5f - y0) / half_height;
      if (round ? u * u + v * v > 1 : std::max(std::abs(u), std::abs(v)) > 1) continue;
      for (int c = 0; c < 3; ++c) {
        float& value = image[c][y * side + x];
        value += opacity * (color[c] - value);
      }
    }
}

}  // namespace

void draw_synthetic(uint64_t seed, uint32_t split, uint32_t index, int label, uint8_t* out) {
  Rng rng(seed, RngPurpose::synth, split, index);
  const Color back = random_color(rng);
  Color object = random_color(rng);
  while (distance2(object, back) < 0.6f * 0.6f) object = random_color(rng);
  const float radius = rng.uniform(9, 13);
  const float center_x = side / 2 + rng.uniform(-4, 4), center_y = side / 2 + rng.uniform(-4, 4);
  // The angle is at most 15 degrees either way. The tangent of its half gives a rotation without sin and cos.
  const float half_tangent = rng.uniform(-0.1317f, 0.1317f);
  const float cosine = (1 - half_tangent * half_tangent) / (1 + half_tangent * half_tangent);
  const float sine = 2 * half_tangent / (1 + half_tangent * half_tangent);
  const float slope_x = rng.uniform(-0.12f, 0.12f), slope_y = rng.uniform(-0.12f, 0.12f);
  const float noise_sd = rng.uniform(0, 0.05f);

  float image[3][plane];
  for (int c = 0; c < 3; ++c) std::fill_n(image[c], plane, back[c]);
  for (uint32_t pieces = rng.below(4); pieces > 0; --pieces) draw_clutter(rng, image);

  for (int y = 0; y < side; ++y)
    for (int x = 0; x < side; ++x) {
      float coverage = 0;
      for (int sample = 0; sample < 4; ++sample) {
        const float dx = (static_cast<float>(x) + (sample & 1 ? 0.75f : 0.25f) - center_x) / radius;
        const float dy = (static_cast<float>(y) + (sample & 2 ? 0.75f : 0.25f) - center_y) / radius;
        coverage += inside(label, cosine * dx + sine * dy, cosine * dy - sine * dx) ? 0.25f : 0;
      }
      const int i = y * side + x;
      const float light =
          slope_x * (static_cast<float>(x) - 15.5f) / 15.5f + slope_y * (static_cast<float>(y) - 15.5f) / 15.5f;
      for (int c = 0; c < 3; ++c) {
        const float value = image[c][i] + coverage * (object[c] - image[c][i]) + light + noise_sd * noise(rng);
        out[c * plane + i] = static_cast<uint8_t>(std::clamp(value, 0.0f, 1.0f) * 255 + 0.5f);
      }
    }
}

}  // namespace rt
