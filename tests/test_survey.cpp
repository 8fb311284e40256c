// Checksum and statistics of a set, against plain code.
#include <doctest/doctest.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <set>
#include <string>

#include "data/survey.hpp"
#include "tests/support/cifar_files.hpp"
#include "tests/support/memory_dataset.hpp"
#include "tests/support/temp_folder.hpp"

using namespace rt;
using namespace rt::testing;

namespace {

std::string checksum_of(const Dataset& data, int64_t threads = 1) { return survey(data, threads)->checksum; }

// Images of 48x48: several parts of 16 MiB.
MemoryDataset several_parts() { return MemoryDataset(5001, 48, 10); }

}  // namespace

TEST_CASE("survey: CIFAR's checksum is the chain of hashes that runs have always recorded") {
  const TempFolder dir;
  write_file(dir.path / "data_batch_1.bin", cifar_records(30, 3));
  write_file(dir.path / "data_batch_2.bin", cifar_records(12, 7));
  const DatasetPair pair = open_datasets("auto", dir.path.string());
  uint64_t hash = 0;
  for (int64_t i = 0; i < pair.train->size(); ++i)
    hash = XXH3_64bits_withSeed(image_of(*pair.train, i).data(), 3072,
                                hash * 31 + static_cast<uint64_t>(pair.train->label(i)));
  for (int threads : {1, 3}) CHECK(checksum_of(*pair.train, threads) == rt::format("{:016x}", hash));
}

TEST_CASE("survey: the checksum of CIFAR's kind is pinned, or runs could not be resumed") {
  MemoryDataset data(3, 1, 3);
  data.use(ChecksumKind::chained);
  data.bytes = {0, 1, 2, 3, 4, 5, 6, 7, 8};
  CHECK(checksum_of(data) == "21ccc0d354041e1c");
}

TEST_CASE("survey: the checksum by sample is the hash of the images' hashes, and pinned") {
  MemoryDataset data(3, 1, 3);
  data.bytes = {0, 1, 2, 3, 4, 5, 6, 7, 8};
  uint64_t hashes[3];
  for (size_t i = 0; i < 3; ++i) hashes[i] = XXH3_64bits_withSeed(data.bytes.data() + 3 * i, 3, i);
  CHECK(checksum_of(data) == rt::format("xxh3p1:{:016x}", XXH3_64bits(hashes, sizeof hashes)));
  CHECK(checksum_of(data) == "xxh3p1:0a7329dab4df6097");
}

TEST_CASE("survey: any number of threads gives the same bits, for both kinds of checksum") {
  MemoryDataset data = several_parts();
  for (const ChecksumKind kind : {ChecksumKind::by_sample, ChecksumKind::chained}) {
    data.use(kind);
    const std::optional<Survey> one = survey(data, 1);
    for (int threads : {2, 3, 8}) {
      const std::optional<Survey> many = survey(data, threads);
      CHECK(many->checksum == one->checksum);
      CHECK(many->statistics.mean == one->statistics.mean);
      CHECK(many->statistics.std == one->statistics.std);
    }
  }
}

TEST_CASE("survey: the checksum changes with any byte, any label and the order") {
  MemoryDataset data(7, 4, 3);
  for (const ChecksumKind kind : {ChecksumKind::by_sample, ChecksumKind::chained}) {
    data.use(kind);
    std::set<std::string> seen = {checksum_of(data, 2)};
    size_t changes = 0;
    for (uint8_t& byte : data.bytes) {
      byte ^= 1;
      changes += seen.insert(checksum_of(data, 2)).second;
      byte ^= 1;
    }
    CHECK(changes == data.bytes.size());
    for (int& label : data.labels) {
      ++label;
      CHECK(seen.insert(checksum_of(data, 2)).second);
      --label;
    }
    const MemoryDataset before = data;
    const auto image = data.info().image.bytes();
    std::swap_ranges(data.bytes.begin(), data.bytes.begin() + image, data.bytes.begin() + 3 * image);
    CHECK(data.labels[0] == data.labels[3]);
    CHECK(seen.insert(checksum_of(data, 2)).second);
    data = before;
    CHECK(seen.count(checksum_of(data, 2)) == 1);
  }
}

TEST_CASE("survey: mean and deviation of every pixel, and a constant channel does not divide by zero") {
  MemoryDataset data(5, 32, 10);
  for (size_t i = 0; i < 5; ++i) std::fill_n(data.bytes.begin() + static_cast<int64_t>(i) * 3072 + 2048, 1024, 200);
  const Normalisation got = survey(data, 2)->statistics;
  for (size_t c = 0; c < 2; ++c) {
    double mean = 0, square = 0;
    for (int64_t i = 0; i < 5; ++i)
      for (size_t k = 0; k < 1024; ++k) mean += data.pixels(i)[c * 1024 + k] / 255.0 / 5120;
    for (int64_t i = 0; i < 5; ++i)
      for (size_t k = 0; k < 1024; ++k) square += std::pow(data.pixels(i)[c * 1024 + k] / 255.0 - mean, 2) / 5120;
    CHECK(got.mean[c] == doctest::Approx(mean).epsilon(1e-6));
    CHECK(got.std[c] == doctest::Approx(std::sqrt(square)).epsilon(1e-6));
  }
  CHECK(got.mean[2] == static_cast<float>(200 / 255.0));
  CHECK(got.std[2] == static_cast<float>(1 / 255.0));
}

TEST_CASE("survey: sums of a large white image do not overflow") {
  MemoryDataset data(1, 300, 2);  // 90,000 pixels: more squares than 32 bits hold
  std::fill(data.bytes.begin(), data.bytes.end(), 255);
  const Normalisation got = survey(data, 1)->statistics;
  CHECK(got.mean[0] == 1.0f);
  CHECK(got.std[0] == static_cast<float>(1 / 255.0));
}

TEST_CASE("survey: it leaves off when it is asked to, and an empty set is an error") {
  const MemoryDataset data = several_parts();
  std::atomic<int> asked = 0;
  CHECK(!survey(data, 2, [&] { return ++asked > 100; }));
  CHECK(asked < 110);
  CHECK(survey(data, 2, [] { return false; }));
  CHECK_THROWS_WITH_AS(survey(MemoryDataset(0, 4, 2), 1), "survey: the data set has no images", Error);
}
