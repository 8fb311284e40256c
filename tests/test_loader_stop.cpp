// A loader that is asked to stop while a sample takes long.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "data/loader.hpp"
#include "tests/support/memory_dataset.hpp"

using namespace rt;
using namespace rt::testing;

namespace {

// Reading blocks until open().
class SlowDataset final : public MemoryDataset {
 public:
  using MemoryDataset::MemoryDataset;
  void read(int64_t i, std::span<uint8_t> image) const override {
    std::unique_lock lock(mutex_);
    reading_ = true;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_; });
    MemoryDataset::read(i, image);
  }
  void wait_for_reader() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return reading_; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  mutable bool reading_ = false;
  bool open_ = false;
};

}  // namespace

TEST_CASE("loader_stop: next() gives up a batch that is not ready where it is asked to stop") {
  SlowDataset data(8, 4, 2);
  std::atomic<bool> stop{false};
  LoaderOptions options;
  options.batch = 4;
  options.workers = 1;
  options.stop = [&] { return stop.load(); };
  Loader loader(data, options);
  loader.start(0);
  std::jthread stopper([&] {
    data.wait_for_reader();
    stop = true;
  });
  CHECK(loader.next() == nullptr);  // while the sample is still being read
  data.open();
}

TEST_CASE("loader_stop: without workers it stops between two samples") {
  const MemoryDataset data(8, 4, 2);
  int asked = 0;
  LoaderOptions options;
  options.batch = 4;
  options.stop = [&] { return ++asked > 2; };
  Loader loader(data, options);
  loader.start(0);
  CHECK(loader.next() == nullptr);
  CHECK(asked == 4);  // before three samples, of which the third was not read, and by next() itself
}
