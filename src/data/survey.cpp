// A part of the set at a time: read, summed and hashed by all threads, then what goes in order.
#include "data/survey.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>

#include "data/read_samples.hpp"

namespace rt {
namespace {

static_assert(std::endian::native == std::endian::little, "a list of hashes is hashed as it lies in memory");

// Sums of whole numbers: the same whatever the order.
class ChannelSums {
 public:
  void add(std::span<const uint8_t> image) {
    const size_t plane = image.size() / channels;
    for (size_t c = 0; c < channels; ++c) add_plane(c, image.subspan(c * plane, plane));
  }
  Normalisation statistics(double pixels) const {
    Normalisation result;
    for (size_t c = 0; c < channels; ++c) {
      const double total = static_cast<double>(sum_[c]), mean = total / pixels;
      const double variance = std::max(0.0, (static_cast<double>(squares_[c]) - total * mean) / pixels);
      result.mean[c] = static_cast<float>(mean / 255);
      result.std[c] = static_cast<float>(std::max(1.0, std::sqrt(variance)) / 255);
    }
    return result;
  }

 private:
  static constexpr size_t channels = 3;
  void add_plane(size_t c, std::span<const uint8_t> plane) {
    constexpr size_t in_32_bits = 65536;  // squares that fit: 65536 x 255 x 255 < 2^32
    for (size_t at = 0; at < plane.size(); at += in_32_bits) {
      uint32_t sum = 0, squares = 0;
      for (const uint32_t v : plane.subspan(at, std::min(in_32_bits, plane.size() - at))) {
        sum += v;
        squares += v * v;
      }
      sum_[c].fetch_add(sum, std::memory_order_relaxed);
      squares_[c].fetch_add(squares, std::memory_order_relaxed);
    }
  }
  std::array<std::atomic<uint64_t>, channels> sum_ = {}, squares_ = {};
};

uint64_t hash_of(std::span<const uint8_t> image, uint64_t seed) {
  return XXH3_64bits_withSeed(image.data(), image.size(), seed);
}

// Any thread gives it an image at any time.
class HashOfHashes {
 public:
  explicit HashOfHashes(int64_t samples) : hashes_(static_cast<size_t>(samples)) {}
  void add(int64_t i, int label, std::span<const uint8_t> image) {
    hashes_[static_cast<size_t>(i)] = hash_of(image, static_cast<uint64_t>(label));
  }
  std::string text() const {
    return rt::format("xxh3p1:{:016x}", XXH3_64bits(hashes_.data(), hashes_.size() * sizeof(uint64_t)));
  }

 private:
  std::vector<uint64_t> hashes_;
};

// Takes one image after the other.
class HashChain {
 public:
  void add(int label, std::span<const uint8_t> image) {
    last_ = hash_of(image, last_ * 31 + static_cast<uint64_t>(label));
  }
  std::string text() const { return rt::format("{:016x}", last_); }

 private:
  uint64_t last_ = 0;
};

}  // namespace

namespace {

// Reads the whole set a part at a time, and shows every sample in its order, from memory of its own.
bool read_in_order(const Dataset& data, ReadOptions options,
                   const std::function<void(int64_t i, std::span<const uint8_t> image)>& show) {
  const auto bytes = static_cast<size_t>(data.info().image.bytes());
  const int64_t at_a_time = samples_at_a_time(data.size(), data.info().image.bytes(), options.threads);
  std::vector<uint8_t> part(static_cast<size_t>(at_a_time) * bytes);
  for (int64_t first = 0; first < data.size(); first += at_a_time) {
    const auto place = [&](int64_t i) {
      return std::span(part).subspan(static_cast<size_t>(i - first) * bytes, bytes);
    };
    options.place = place;
    const int64_t count = std::min(at_a_time, data.size() - first);
    if (!read_samples(data, first, count, options)) return false;
    for (int64_t i = first; i < first + count; ++i) show(i, place(i));
  }
  return true;
}

}  // namespace

std::optional<Survey> survey(const Dataset& data, int64_t threads, const std::function<bool()>& stop) {
  RT_CHECK(data.size() > 0, "survey: the data set has no images");
  ChannelSums sums;
  ReadOptions options{.threads = threads, .stop = stop};
  std::string checksum;
  if (data.info().checksum == ChecksumKind::chained) {
    HashChain chain;
    options.each = [&](int64_t, std::span<const uint8_t> image) { sums.add(image); };
    const auto in_order = [&](int64_t i, std::span<const uint8_t> image) { chain.add(data.label(i), image); };
    if (!read_in_order(data, options, in_order)) return std::nullopt;
    checksum = chain.text();
  } else {
    HashOfHashes hashes(data.size());
    options.each = [&](int64_t i, std::span<const uint8_t> image) {
      sums.add(image);
      hashes.add(i, data.label(i), image);
    };
    if (!read_samples(data, 0, data.size(), options)) return std::nullopt;
    checksum = hashes.text();
  }
  int64_t pixels = 0;
  for (int64_t i = 0; i < data.size(); ++i) pixels += int64_t{data.shape(i).height} * data.shape(i).width;
  return Survey{.checksum = checksum, .statistics = sums.statistics(static_cast<double>(pixels))};
}

}  // namespace rt
