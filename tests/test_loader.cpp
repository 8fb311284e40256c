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
#include "data/loader.hpp"

using namespace rt;

namespace {

// Small random images; optionally slow, or failing at one index.
class TestSet : public Dataset {
 public:
  explicit TestSet(int64_t n) : bytes_(static_cast<size_t>(n) * 3 * 8 * 8), size_(n) {
    info_.classes = 7, info_.height = 8, info_.width = 8;
    Rng rng(1, RngPurpose::test);
    for (uint8_t& b : bytes_) b = static_cast<uint8_t>(rng.next());
  }
  const DatasetInfo& info() const override { return info_; }
  int64_t size() const override { return size_; }
  int label(int64_t i) const override { return static_cast<int>(i % 7); }
  const uint8_t* pixels(int64_t i) const override {
    if (i == failing) throw std::runtime_error("image 57 cannot be decoded");
    if (slow_ms > 0) std::this_thread::sleep_for(std::chrono::milliseconds(slow_ms));
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    if (sigismember(&mask, SIGINT) != 1 || sigismember(&mask, SIGTERM) != 1) signals_open = true;
    return bytes_.data() + i * 3 * 8 * 8;
  }
  int64_t failing = -1;
  int slow_ms = 0;
  mutable std::atomic<bool> signals_open = false;

 private:
  DatasetInfo info_;
  std::vector<uint8_t> bytes_;
  int64_t size_;
};

LoaderOptions training_options(int workers = 0, int prefetch = 2) {
  LoaderOptions o;
  o.batch = 16, o.seed = 5, o.shuffle = true, o.augment = AugmentOptions{}, o.workers = workers, o.prefetch = prefetch;
  o.normalisation = {{0.5f, 0.4f, 0.3f}, {0.2f, 0.2f, 0.3f}};
  return o;
}

struct Epoch {
  std::vector<float> images;
  std::vector<int32_t> labels;
  std::vector<int64_t> firsts;
  bool operator==(const Epoch& o) const {
    return labels == o.labels && firsts == o.firsts && images.size() == o.images.size() &&
           std::memcmp(images.data(), o.images.data(), images.size() * sizeof(float)) == 0;
  }
};
void append(Epoch& epoch, const Batch& batch) {
  epoch.firsts.push_back(batch.first);
  epoch.labels.insert(epoch.labels.end(), batch.labels, batch.labels + batch.count);
  epoch.images.insert(epoch.images.end(), batch.images, batch.images + batch.count * 3 * 8 * 8);
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
    for (int workers : {1, 3})
      for (int prefetch : {0, 1, 2, 7, 40}) {
        Loader loader(data, training_options(workers, prefetch));
        loader.start(epoch);
        CHECK(rest(loader) == want);
        CHECK(loader.next() == nullptr);
      }
  }
}

TEST_CASE("loader: an epoch shows each sample once, in an order that the epoch and the seed choose") {
  const TestSet data(100);
  LoaderOptions options = training_options(2);
  options.augment.reset();
  options.normalisation = {};
  Loader loader(data, options);
  const NormaliseTable table(options.normalisation);
  auto order_of = [&](uint32_t epoch) {
    loader.start(epoch);
    const Epoch seen = rest(loader);
    std::vector<int> order;
    std::vector<float> image(3 * 8 * 8);
    for (size_t i = 0; i < seen.labels.size(); ++i)
      for (int k = 0; k < 100; ++k) {
        normalise(data.pixels(k), 8, 8, table, image.data());
        if (std::equal(image.begin(), image.end(),
                       seen.images.begin() + static_cast<std::ptrdiff_t>(i * image.size()))) {
          CHECK(seen.labels[i] == k % 7);
          order.push_back(k);
        }
      }
    return order;
  };
  const std::vector<int> first = order_of(0), second = order_of(1);
  CHECK(first != second);
  CHECK(first == order_of(0));
  CHECK(first.size() == 100);
  CHECK(std::set<int>(first.begin(), first.end()).size() == 100);
  CHECK(!std::is_sorted(first.begin(), first.end()));
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

TEST_CASE("loader: a subset shows its own samples, augmented as in the whole set") {
  const TestSet data(60);
  LoaderOptions options = training_options(2);
  options.shuffle = false;
  Loader all(data, options);
  all.start(3);
  const Epoch whole = rest(all);
  options.indices = {5, 7, 11, 59, 0, 30};
  options.batch = 4;
  Loader part(data, options);
  CHECK(part.batches() == 2);
  part.start(3);
  const Epoch got = rest(part);
  REQUIRE(got.labels.size() == 6);
  const std::ptrdiff_t image = 3 * 8 * 8;
  for (std::ptrdiff_t i = 0; i < 6; ++i)
    CHECK(std::equal(
        got.images.begin() + i * image, got.images.begin() + (i + 1) * image,
        whole.images.begin() + static_cast<std::ptrdiff_t>(options.indices[static_cast<size_t>(i)]) * image));
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

TEST_CASE("loader: what fails in a worker reaches the caller when that batch is due, and a new start is possible") {
  TestSet data(100);
  data.failing = 57;
  for (int workers : {0, 1, 3}) {
    LoaderOptions options = training_options(workers, 4);
    options.shuffle = false;
    Loader loader(data, options);
    for (int round = 0; round < 2; ++round) {
      loader.start(0);
      for (int i = 0; i < 3; ++i) CHECK(loader.next()->first == i * 16);
      CHECK_THROWS_WITH_AS(loader.next(), "image 57 cannot be decoded", std::runtime_error);
      CHECK_THROWS_AS(loader.next(), std::runtime_error);
    }
    loader.start(0, 64);
    CHECK(rest(loader).labels.size() == 36);
  }
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

TEST_CASE("split_indices: two sorted parts of everything, chosen by the seed") {
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
