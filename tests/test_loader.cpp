// The loader: one sequence of batches, whatever prepares it.
#include <doctest/doctest.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <numeric>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "core/check.hpp"
#include "core/rng.hpp"
#include "data/loader.hpp"
#include "tests/support/memory_dataset.hpp"

using namespace rt;
using namespace rt::testing;

namespace {

// Small random images; optionally slow, or failing at one index.
class TestSet final : public MemoryDataset {
 public:
  explicit TestSet(int64_t n) : MemoryDataset(n, 8, 7) {}
  void read(int64_t i, std::span<uint8_t> image) const override {
    if (i == failing) fail(ExitCode::data, "truncated after 3 of 8 rows");
    if (i == failing_otherwise) throw std::runtime_error("no such file");
    if (slow_ms > 0) std::this_thread::sleep_for(std::chrono::milliseconds(slow_ms));
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    if (sigismember(&mask, SIGINT) != 1 || sigismember(&mask, SIGTERM) != 1) signals_open = true;
    MemoryDataset::read(i, image);
  }
  int64_t failing = -1, failing_otherwise = -1;
  int slow_ms = 0;
  mutable std::atomic<bool> signals_open = false;
};

// Every byte is drawn from the key, and the stored one added.
class Noise final : public Preparation {
 public:
  explicit Noise(const ImageShape& shape) : shape_(shape) {}
  ImageShape shape() const override { return shape_; }
  bool random() const override { return true; }
  void prepare(const Dataset& data, const SampleKey& key, std::span<uint8_t> image) const override {
    data.read(key.sample, image);
    Rng rng(key.seed, RngPurpose::test, key.epoch, key.sample);
    for (uint8_t& b : image) b = static_cast<uint8_t>(b + (rng.next() >> 24));
  }

 private:
  ImageShape shape_;
};

LoaderOptions training_options(int workers = 0, int prefetch = 2) {
  LoaderOptions o;
  o.batch = 16;
  o.seed = 5;
  o.shuffle = true;
  o.workers = workers;
  o.prefetch = prefetch;
  return o;
}

constexpr int64_t image = 3 * 8 * 8;

struct Epoch {
  std::vector<uint8_t> pixels;
  std::vector<int32_t> samples, labels;
  std::vector<int64_t> firsts;
  std::set<uint32_t> epochs;
  bool operator==(const Epoch&) const = default;
};
void append(Epoch& epoch, const Batch& batch) {
  epoch.firsts.push_back(batch.first);
  epoch.epochs.insert(batch.epoch);
  epoch.samples.insert(epoch.samples.end(), batch.samples, batch.samples + batch.count);
  epoch.labels.insert(epoch.labels.end(), batch.labels, batch.labels + batch.count);
  if (batch.pixels) epoch.pixels.insert(epoch.pixels.end(), batch.pixels, batch.pixels + batch.count * image);
}
Epoch rest(Loader& loader) {
  Epoch result;
  while (const Batch* batch = loader.next()) append(result, *batch);
  return result;
}

}  // namespace

TEST_CASE("loader: the batches have the same bits for any number of workers and any prefetch") {
  const TestSet data(203);
  Loader plain(data, training_options());
  for (uint32_t epoch : {0u, 1u, 2u}) {
    plain.start(epoch);
    const Epoch want = rest(plain);
    CHECK(want.labels.size() == 203);
    CHECK(want.firsts.size() == 13);
    for (int workers : {1, 2, 3})
      for (int prefetch : {0, 1, 2, 7, 40}) {
        Loader loader(data, training_options(workers, prefetch));
        loader.start(epoch);
        CHECK(rest(loader) == want);
        CHECK(loader.next() == nullptr);
      }
  }
}

TEST_CASE(
    "loader: an epoch shows each sample once, with its own label and bytes, in an order that epoch and seed choose") {
  const TestSet data(100);
  Loader loader(data, training_options(2));
  auto order_of = [&](uint32_t epoch) {
    loader.start(epoch);
    const Epoch seen = rest(loader);
    CHECK(seen.epochs == std::set<uint32_t>{epoch});
    REQUIRE(seen.pixels.size() == 100 * image);
    for (size_t i = 0; i < seen.samples.size(); ++i) {
      CHECK(seen.labels[i] == seen.samples[i] % 7);
      CHECK(std::memcmp(seen.pixels.data() + i * image, data.pixels(seen.samples[i]), image) == 0);
    }
    return seen.samples;
  };
  const std::vector<int32_t> first = order_of(0), second = order_of(1);
  CHECK(first != second);
  CHECK(first == order_of(0));
  CHECK(first.size() == 100);
  CHECK(std::set<int32_t>(first.begin(), first.end()).size() == 100);
  CHECK(!std::is_sorted(first.begin(), first.end()));
}

TEST_CASE("loader: for resident data only samples and labels are handed out, and no image is read") {
  TestSet data(50);
  Loader whole(data, training_options());
  whole.start(2);
  const Epoch want = rest(whole);
  data.failing = 7;
  LoaderOptions options = training_options(2);
  options.gather = false;
  Loader loader(data, options);
  loader.start(2);
  CHECK(loader.again(16).pixels == nullptr);
  const Epoch got = rest(loader);
  CHECK(got.samples == want.samples);
  CHECK(got.labels == want.labels);
  CHECK(got.pixels.empty());
}

TEST_CASE("loader: a batch can be had again, by its position in the epoch") {
  const TestSet data(75);
  Loader loader(data, training_options(2));
  CHECK_THROWS_AS(loader.again(0), Error);
  loader.start(3, 7);
  std::vector<Epoch> seen;
  while (const Batch* batch = loader.next()) append(seen.emplace_back(), *batch);
  for (const Epoch& batch : seen) {
    Epoch again;
    append(again, loader.again(batch.firsts[0]));
    CHECK(again == batch);
  }
  CHECK(seen.back().labels.size() == 4);
  CHECK_THROWS_WITH_AS(loader.again(75), "loader: the batch at sample 75 of an epoch of 75", Error);
  CHECK_THROWS_AS(loader.again(-1), Error);
}

TEST_CASE("loader: starting in the middle of an epoch gives its tail") {
  const TestSet data(75);
  for (int workers : {0, 3}) {
    Loader loader(data, training_options(workers));
    for (int64_t at : {0, 16, 48, 64}) {
      loader.start(4);
      for (int64_t i = 0; i < at / 16; ++i) loader.next();
      const Epoch tail = rest(loader);
      loader.start(1);
      loader.next();
      loader.start(4, at);
      CHECK(rest(loader) == tail);
    }
    loader.start(4, 75);
    CHECK(loader.next() == nullptr);
    CHECK_THROWS_AS(loader.start(4, 76), Error);
    CHECK_THROWS_AS(loader.start(4, -1), Error);
  }
}

TEST_CASE("loader: drop_last leaves out the short batch, and a batch larger than the set is a short batch") {
  const TestSet data(75);
  LoaderOptions options = training_options(2);
  Loader all(data, options);
  CHECK(all.batches() == 5);
  CHECK(all.samples() == 75);
  all.start(0);
  const Epoch whole = rest(all);
  options.drop_last = true;
  Loader loader(data, options);
  CHECK(loader.batches() == 4);
  CHECK(loader.samples() == 64);
  loader.start(0);
  const Epoch kept = rest(loader);
  CHECK(kept.labels == std::vector<int32_t>(whole.labels.begin(), whole.labels.begin() + 64));
  loader.start(0, 10);
  CHECK(rest(loader).labels.size() == 48);

  options.drop_last = false;
  options.batch = 1000;
  Loader large(data, options);
  CHECK(large.batches() == 1);
  large.start(0);
  CHECK(large.next()->count == 75);
  options.drop_last = true;
  Loader none(data, options);
  CHECK(none.batches() == 0);
  none.start(0);
  CHECK(none.next() == nullptr);
}

TEST_CASE("loader: a subset shows its own samples, under their numbers in the whole set") {
  const TestSet data(60);
  LoaderOptions options = training_options(2);
  options.shuffle = false;
  options.indices = {5, 7, 11, 59, 0, 30};
  options.batch = 4;
  Loader part(data, options);
  CHECK(part.batches() == 2);
  part.start(3);
  const Epoch got = rest(part);
  CHECK(got.samples == std::vector<int32_t>(options.indices.begin(), options.indices.end()));
  REQUIRE(got.pixels.size() == 6 * image);
  for (size_t i = 0; i < 6; ++i)
    CHECK(std::memcmp(got.pixels.data() + i * image, data.pixels(options.indices[i]), image) == 0);
  options.indices.push_back(60);
  CHECK_THROWS_WITH_AS(Loader(data, options), "loader: index 60 in a data set of 60 images", Error);
}

TEST_CASE("loader: a batch stays as it is until the following next()") {
  const TestSet data(160);
  Loader loader(data, training_options(3, 1));
  loader.start(0);
  while (const Batch* batch = loader.next()) {
    Epoch before, after;
    append(before, *batch);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    append(after, *batch);
    CHECK(before == after);
  }
}

TEST_CASE("loader: what fails in a worker names its sample when that batch is due, and a new start is possible") {
  TestSet data(100);
  data.failing = 57;
  for (int workers : {0, 1, 2, 3}) {
    LoaderOptions options = training_options(workers, 4);
    options.shuffle = false;
    Loader loader(data, options);
    for (int round = 0; round < 2; ++round) {
      loader.start(0);
      for (int i = 0; i < 3; ++i) CHECK(loader.next()->first == i * 16);
      CHECK_THROWS_WITH_AS(loader.next(), "image 57: truncated after 3 of 8 rows", Error);
      CHECK_THROWS_AS(loader.next(), Error);
    }
    loader.start(0, 64);
    CHECK(rest(loader).labels.size() == 36);
  }
  Loader loader(data, training_options());
  loader.start(0);
  const auto of_57 = [&] { rest(loader); };
  data.failing = -1;
  data.failing_otherwise = 57;
  CHECK_THROWS_WITH_AS(of_57(), "image 57: no such file", Error);
}

TEST_CASE("loader: a random preparation gives the same bits for any workers, others in another epoch or for a seed") {
  const MemoryDataset data(50, 8, 7);
  auto epoch_of = [&](uint64_t seed, uint32_t epoch, int workers, bool random = true) {
    LoaderOptions options = training_options(workers);
    options.shuffle = false;
    options.seed = seed;
    if (random) options.preparation = std::make_shared<Noise>(data.info().image);
    Loader loader(data, options);
    loader.start(epoch);
    const Epoch seen = rest(loader);
    Epoch again;
    append(again, loader.again(16));
    CHECK(std::equal(again.pixels.begin(), again.pixels.end(), seen.pixels.begin() + 16 * image));
    return seen.pixels;
  };
  const std::vector<uint8_t> want = epoch_of(5, 1, 0);
  for (int workers : {1, 2, 3}) CHECK(epoch_of(5, 1, workers) == want);
  CHECK(epoch_of(5, 2, 2) != want);
  CHECK(epoch_of(6, 1, 2) != want);
  CHECK(epoch_of(5, 1, 2, false) == data.bytes);
  // The same sample under the same key, wherever it stands in the epoch.
  LoaderOptions options = training_options(2);
  options.preparation = std::make_shared<Noise>(data.info().image);
  Loader loader(data, options);
  loader.start(1);
  const Epoch shuffled = rest(loader);
  for (size_t i = 0; i < shuffled.samples.size(); ++i)
    CHECK(std::memcmp(shuffled.pixels.data() + i * image, want.data() + shuffled.samples[i] * image, image) == 0);
}

TEST_CASE("loader: stopping in the middle of an epoch waits for one image, not for a batch") {
  TestSet data(2000);
  data.slow_ms = 20;
  LoaderOptions options = training_options(3, 3);
  options.batch = 500;  // ten seconds of images
  const auto begin = std::chrono::steady_clock::now();
  {
    Loader loader(data, options);
    loader.start(0);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    loader.start(1);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(3));
  Loader never_started(data, options);
  CHECK_THROWS_AS(never_started.next(), Error);
}

TEST_CASE("loader: workers leave signals to other threads, and the caller's mask is as before") {
  const TestSet data(64);
  sigset_t before, after;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  Loader loader(data, training_options(2));
  loader.start(0);
  while (loader.next() != nullptr) continue;
  CHECK(!data.signals_open);
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  for (int s : {SIGINT, SIGTERM, SIGHUP}) CHECK(sigismember(&before, s) == sigismember(&after, s));
}

TEST_CASE("loader: split_indices gives two sorted parts of everything, chosen by the seed") {
  const auto [train, val] = split_indices(1000, 0.1, 3);
  CHECK(train.size() == 900);
  CHECK(val.size() == 100);
  CHECK(std::is_sorted(train.begin(), train.end()));
  CHECK(std::is_sorted(val.begin(), val.end()));
  std::vector<uint32_t> both(train);
  both.insert(both.end(), val.begin(), val.end());
  std::sort(both.begin(), both.end());
  for (uint32_t i = 0; i < 1000; ++i) REQUIRE(both[i] == i);
  CHECK(split_indices(1000, 0.1, 3).second == val);
  CHECK(split_indices(1000, 0.1, 4).second != val);
  CHECK(val.front() < 100);  // spread over the set
  CHECK(val.back() >= 900);
  CHECK(split_indices(10, 0, 0).second.empty());
  CHECK(split_indices(10, 0.001, 0).second.size() == 1);
  CHECK(split_indices(10, 0.999, 0).first.size() == 1);
  CHECK_THROWS_AS(split_indices(10, 1.0, 0), Error);
  CHECK_THROWS_AS(split_indices(10, -0.1, 0), Error);
  CHECK_THROWS_AS(split_indices(1, 0.5, 0), Error);
}

TEST_CASE("loader: images of several sizes become one by a preparation, and without one are named with both sizes") {
  // Sample i is i + 1 pixels wide.
  class Several final : public MemoryDataset {
   public:
    Several() : MemoryDataset(8, 8, 3) {}
    ImageShape shape(int64_t i) const override { return {.height = 8, .width = static_cast<int>(i) + 1}; }
    void read(int64_t i, std::span<uint8_t> to) const override {
      std::fill(to.begin(), to.end(), static_cast<uint8_t>(i));
    }
  };
  class FirstPixels final : public Preparation {
   public:
    ImageShape shape() const override { return {.height = 1, .width = 1}; }
    void prepare(const Dataset& data, const SampleKey& key, std::span<uint8_t> to) const override {
      std::vector<uint8_t> whole(static_cast<size_t>(data.shape(key.sample).bytes()));
      data.read(key.sample, whole);
      for (size_t c = 0; c < 3; ++c) to[c] = whole[c * whole.size() / 3];
    }
  };
  const Several data;
  LoaderOptions options{.batch = 8, .workers = 2};
  options.preparation = std::make_shared<FirstPixels>();
  Loader loader(data, options);
  loader.start(0);
  const Batch* batch = loader.next();
  REQUIRE(batch != nullptr);
  for (size_t i = 0; i < 24; ++i) CHECK(batch->pixels[i] == i / 3);

  options.preparation = as_stored({.height = 8, .width = 1});
  Loader same(data, options);
  same.start(0);
  CHECK_THROWS_WITH_AS(same.next(), "image 1: the image has 2x8 pixels and 3 channels, the network takes 1x8 and 3",
                       Error);
}
