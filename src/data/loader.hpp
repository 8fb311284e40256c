// Batches for a training or evaluation loop, prepared ahead by worker threads: bytes, as a Preparation makes them of
// samples. What becomes of them (crop, flip, normalise) is the first step of the network's own list, on the device that
// computes.
// The order follows from (seed, epoch), so the batches are the same whatever the number of workers and the prefetch.
// The position is the caller's: it counts samples handed out, not those prepared, and start() continues an epoch from
// any of them.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "data/dataset.hpp"
#include "data/preparation.hpp"

namespace rt {

struct LoaderOptions {
  int64_t batch = 128;
  uint64_t seed = 0;
  bool shuffle = false;
  bool gather = true;             // false: only samples and labels, for a data set that is resident on the device
  bool drop_last = false;         // leave out a last batch that is not full
  int workers = 0;                // threads; 0: next() prepares the batch itself
  int prefetch = 2;               // batches prepared ahead, at least 1 when there are workers
  std::vector<uint32_t> indices;  // the part of the data set to use; empty: all of it
  // next() asks it while it waits for a batch, and between samples where it prepares one itself. Once true it stays
  // true.
  std::function<bool()> stop = {};
  std::shared_ptr<const Preparation> preparation = {};  // null: as_stored(), for a set of one size
};

struct Batch {
  Batch() = default;
  Batch(Batch&&) = default;  // no copy: the pointers would point into the original
  Batch& operator=(Batch&&) = default;

  int64_t count = 0;  // images in it: options.batch, or fewer at the end of the epoch
  int64_t first = 0;  // position in the epoch of its first image
  uint32_t epoch = 0;
  uint8_t* pixels = nullptr;   // [count,3,H,W] u8; null where they are not gathered
  int32_t* samples = nullptr;  // [count]: index in the data set
  int32_t* labels = nullptr;   // [count]
  // [count,3,H,W] f32, nchw: ready for the network, by a caller that has such; taken instead of pixels.
  float* images = nullptr;
  // What the pointers point into.
  std::vector<uint8_t> pixel_storage;
  std::vector<int32_t> sample_storage, label_storage;
  std::vector<float> image_storage;
};

class Loader {
 public:
  // data must outlive the loader. Throws Error(runtime) for an index out of range or an option that makes no sense.
  Loader(const Dataset& data, LoaderOptions options);

  // Begins (or continues) an epoch at the sample first_sample; whatever was under way is dropped.
  void start(uint32_t epoch, int64_t first_sample = 0);
  // The next batch, valid until the following next() or start(); null at the end of the epoch, and where options.stop()
  // became true before the batch was ready. Rethrows what failed in a worker when the batch it failed in is due.
  const Batch* next();

  // The batch that begins at this position of the present epoch once more, for a look at what went wrong with it.
  Batch again(int64_t first) const;

  int64_t samples() const { return samples_; }  // handed out in a whole epoch
  int64_t batches() const { return (samples_ + options_.batch - 1) / options_.batch; }

 private:
  struct Prefetched {
    Batch batch;
    int64_t filled = -1;  // number of the batch it holds
    std::exception_ptr error;
  };
  Batch empty_batch() const;
  bool stopped() const { return options_.stop && options_.stop(); }
  // Leaves off before the next sample where stop() is true.
  void fill(Batch& batch, int64_t first, const std::function<bool()>& stop) const;
  int64_t first_of(int64_t number) const { return first_sample_ + number * options_.batch; }
  void work(const std::stop_token& stop);

  const Dataset& data_;
  const LoaderOptions options_;
  const int64_t samples_;
  const std::shared_ptr<const Preparation> preparation_;
  std::vector<uint32_t> order_;  // position in the epoch -> index in the data set
  uint32_t epoch_ = 0;
  int64_t first_sample_ = 0, batches_left_ = -1;  // of this start(): batch number k begins at first_sample_ + k * batch

  std::vector<Prefetched> ring_;  // batch number k lies in place k % size
  std::mutex mutex_;              // guards the three counters and Prefetched::filled
  std::condition_variable_any place_free_, batch_ready_;
  int64_t claimed_ = 0;                // batches that a worker has taken on
  int64_t handed_ = 0;                 // batches given to the caller
  int64_t released_ = 0;               // batches the caller is done with
  std::vector<std::jthread> workers_;  // last: joined before anything they use goes
};

// A seeded split of 0..n-1 into training and validation indices, each sorted. val_fraction in [0,1): of n, rounded;
// when it is above 0 neither part is empty (n >= 2).
std::pair<std::vector<uint32_t>, std::vector<uint32_t>> split_indices(int64_t n, double val_fraction, uint64_t seed);

}  // namespace rt
