// Augmentation against plain code: the padded image, cropped and mirrored as the three draws say, then normalised.
#include <doctest/doctest.h>

#include <cstring>
#include <set>
#include <vector>

#include "core/rng.hpp"
#include "kernels/augment/augment.hpp"
#include "kernels/table.hpp"

using namespace rt;

namespace {

constexpr float mean[] = {0.4914f, 0.4822f, 0.4465f}, deviation[] = {0.2470f, 0.2435f, 0.2616f};

Tensor i32(std::vector<int32_t> values) {
  Tensor t({{static_cast<int64_t>(values.size())}, DType::i32});
  std::memcpy(t.as<int32_t>(), values.data(), values.size() * sizeof(int32_t));
  return t;
}

Tensor bytes(const Shape& shape) {
  Tensor t({shape, DType::u8});
  Rng rng(2, RngPurpose::test);
  for (int64_t i = 0; i < shape.numel(); ++i) t.as<uint8_t>()[i] = static_cast<uint8_t>(1 + rng.below(255));
  return t;
}

Tensor augmented(const Tensor& pixels, const std::vector<int32_t>& rows, const std::vector<int32_t>& samples,
                 int32_t epoch, const AugmentAttrs& attrs) {
  const Tensor table = normalise_table(mean, deviation), r = i32(rows), s = i32(samples), e = i32({epoch});
  Tape tape(Tape::Mode::eager, kernel_table(), cpu_target());
  auto external = [&](const Tensor& t) { return tape.external(t.view(), "in"); };
  const Var images = augment(tape, external(pixels), external(r), external(s), external(e), external(table), attrs);
  Tensor planar({tape.spec(images).shape});
  copy_convert(tape.view(images), planar.view());
  return planar;
}

float normalised(uint8_t v, size_t c) { return (static_cast<float>(v) / 255.0f - mean[c]) / deviation[c]; }

}  // namespace

TEST_CASE("augment: in the table to normalise by every byte value becomes (v/255 - mean)/std of its channel") {
  const Tensor table = normalise_table(mean, deviation);
  for (size_t c = 0; c < 3; ++c)
    for (size_t v = 0; v < 256; ++v) REQUIRE(table.as<float>()[c * 256 + v] == normalised(static_cast<uint8_t>(v), c));
  CHECK(table.as<float>()[0] == doctest::Approx(-1.98947));
  CHECK(table.as<float>()[3 * 256 - 1] == doctest::Approx(2.11583));
  CHECK_THROWS_AS(normalise_table(std::span(mean, 2), deviation), Error);
}

TEST_CASE("augment: not random, the rows asked for are normalised and nothing else, in either layout") {
  const Tensor pixels = bytes({5, 3, 4, 6});
  const std::vector<int32_t> rows{4, 0, 0, 2};
  for (Layout layout : {Layout::nchw, Layout::nhwc}) {
    const Tensor images = augmented(pixels, rows, {9, 8, 7, 6}, 1, {.crop_padding = 3, .flip = true, .layout = layout});
    for (size_t n = 0; n < rows.size(); ++n)
      for (size_t i = 0; i < 72; ++i)
        REQUIRE(images.as<float>()[n * 72 + i] ==
                normalised(pixels.as<uint8_t>()[static_cast<size_t>(rows[n]) * 72 + i], i / 24));
  }
}

TEST_CASE("augment: exactly the crop of the padded image, mirrored, that the three draws name") {
  constexpr int height = 6, width = 9, count = 200;
  const Tensor pixels = bytes({2, 3, height, width});
  std::vector<int32_t> rows, samples;
  for (int i = 0; i < count; ++i) {
    rows.push_back(i % 2);
    samples.push_back(1000 - i);
  }
  std::set<int> shifts_seen;
  int mirrored = 0;
  struct Options {
    int padding;
    bool flip;
  };
  for (const auto [p, flip] : {Options{4, true}, {0, true}, {2, false}, {12, true}})  // 12: wholly in the padding, too
    for (Layout layout : {Layout::nchw, Layout::nhwc}) {
      const Tensor images = augmented(pixels, rows, samples, 3,
                                      {.crop_padding = p, .flip = flip, .random = true, .seed = 9, .layout = layout});
      for (size_t n = 0; n < count; ++n) {
        Rng draws(9, RngPurpose::augment, 3, static_cast<uint32_t>(samples[n]));
        const int top = static_cast<int>(draws.below(static_cast<uint32_t>(2 * p + 1)));
        const int left = static_cast<int>(draws.below(static_cast<uint32_t>(2 * p + 1)));
        const bool mirror = draws.next() >= 0x80000000u && flip;
        if (p == 4 && layout == Layout::nchw) {
          shifts_seen.insert(top * 9 + left);
          mirrored += mirror;
        }
        for (int c = 0; c < 3; ++c) {
          const uint8_t* plane = pixels.as<uint8_t>() + (rows[n] * 3 + c) * height * width;
          const float* got = images.as<float>() + (static_cast<int>(n) * 3 + c) * height * width;
          std::vector<uint8_t> padded(static_cast<size_t>((height + 2 * p) * (width + 2 * p)), 0);
          for (int y = 0; y < height; ++y)
            for (int x = 0; x < width; ++x)
              padded[static_cast<size_t>((y + p) * (width + 2 * p) + x + p)] = plane[y * width + x];
          for (int y = 0; y < height; ++y)
            for (int x = 0; x < width; ++x) {
              const int from = left + (mirror ? width - 1 - x : x);
              const uint8_t v = padded[static_cast<size_t>((y + top) * (width + 2 * p) + from)];
              REQUIRE(got[y * width + x] == normalised(v, static_cast<size_t>(c)));
            }
        }
      }
    }
  CHECK(shifts_seen.size() > 60);  // of 81
  CHECK(std::abs(mirrored - 100) < 30);
}

TEST_CASE("augment: an image's numbers follow from seed, epoch and sample alone, not from its place in the batch") {
  const Tensor pixels = bytes({3, 3, 16, 16});
  const AugmentAttrs attrs{.crop_padding = 4, .flip = true, .random = true, .seed = 1};
  const size_t image = 3 * 16 * 16 * sizeof(float);
  const Tensor batch = augmented(pixels, {0, 1, 2}, {70, 71, 72}, 5, attrs);
  const Tensor alone = augmented(pixels, {2}, {72}, 5, attrs);
  const float* last = batch.as<float>() + 2 * 3 * 16 * 16;
  CHECK(std::memcmp(alone.as<float>(), last, image) == 0);
  AugmentAttrs other = attrs;
  other.seed = 2;
  CHECK(std::memcmp(augmented(pixels, {2}, {72}, 5, other).as<float>(), last, image) != 0);
  CHECK(std::memcmp(augmented(pixels, {2}, {72}, 6, attrs).as<float>(), last, image) != 0);
  CHECK(std::memcmp(augmented(pixels, {2}, {73}, 5, attrs).as<float>(), last, image) != 0);
}

TEST_CASE("augment: inputs that do not fit are refused by name") {
  const Tensor pixels = bytes({2, 3, 4, 4});
  CHECK_THROWS_WITH_AS(augmented(pixels, {2}, {0}, 0, {}), "augment: row 2 of 2 images", Error);
  CHECK_THROWS_WITH_AS(augmented(pixels, {0}, {0}, 0, {.crop_padding = -1}),
                       "augment: crop padding is -1, not negative", Error);
  CHECK_THROWS_AS(augmented(pixels, {0, 1}, {0}, 0, {}), Error);
  CHECK_THROWS_AS(augmented(bytes({2, 1, 4, 4}), {0}, {0}, 0, {}), Error);
}
