// Many samples by many threads.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <set>
#include <thread>

#include "data/read_samples.hpp"
#include "tests/support/memory_dataset.hpp"

using namespace rt;
using namespace rt::testing;

namespace {

// Two samples cannot be read; the lower one is found out later.
class Damaged final : public MemoryDataset {
 public:
  Damaged() : MemoryDataset(40, 4, 3) {}
  void read(int64_t i, std::span<uint8_t> image) const override {
    if (i == 20) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    if (i == 20 || i == 21) fail(ExitCode::data, "truncated after {} rows", i);
    MemoryDataset::read(i, image);
  }
};

}  // namespace

TEST_CASE("read_samples: a range is read into its places, each sample is shown once, whatever the threads") {
  const MemoryDataset data(100, 8, 3);
  const auto image = static_cast<size_t>(data.info().image.bytes());
  for (int threads : {1, 2, 5}) {
    std::vector<uint8_t> images(60 * image);
    std::vector<std::atomic<int>> shown(100);
    auto each = [&](int64_t i, std::span<const uint8_t> bytes) {
      ++shown[static_cast<size_t>(i)];
      CHECK(bytes.data() == images.data() + static_cast<size_t>(i - 30) * image);
      CHECK(bytes.size() == image);
    };
    const auto place = [&](int64_t i) { return std::span(images).subspan(static_cast<size_t>(i - 30) * image, image); };
    CHECK(read_samples(data, 30, 60, {.threads = threads, .place = place, .each = each}));
    CHECK(std::equal(images.begin(), images.end(), data.bytes.begin() + 30 * static_cast<int64_t>(image)));
    for (size_t i = 0; i < 100; ++i) CHECK(shown[i] == (i >= 30 && i < 90));
  }
}

TEST_CASE("read_samples: the error is that of the lowest bad sample, with its name in front") {
  const Damaged data;
  for (int threads : {1, 2, 4}) {
    try {
      read_samples(data, 0, data.size(), {.threads = threads});
      FAIL("no error");
    } catch (const Error& e) {
      CHECK(e.code() == ExitCode::data);
      CHECK(std::string(e.what()) == "image 20: truncated after 20 rows");
    }
  }
}

TEST_CASE("read_samples: parts hold some MiB, and a few samples for each thread") {
  CHECK(samples_at_a_time(10, 3072, 2) == 10);
  CHECK(samples_at_a_time(10000, 3072, 2) == (int64_t{16} << 20) / 3072);
  CHECK(samples_at_a_time(40, 3000000, 2) == 32);
  CHECK_THROWS_AS(read_samples(MemoryDataset(2, 4, 2), 1, 2, {}), Error);
}
