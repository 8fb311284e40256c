// Workers take whole batches in turn and fill the places of a ring; the caller takes them out in order.
#include "data/loader.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "core/check.hpp"
#include "core/rng.hpp"
#include "data/threads.hpp"

namespace rt {
namespace {

// A worker may take seconds for a sample. So often does next() look meanwhile whether it should stop.
constexpr std::chrono::milliseconds between_looks{50};

int64_t samples_per_epoch(const Dataset& data, const LoaderOptions& options) {
  RT_CHECK(options.batch >= 1, "loader: batch is {}, at least 1", options.batch);
  RT_CHECK(options.workers >= 0 && options.prefetch >= 0, "loader: {} workers, prefetch {}: not negative",
           options.workers, options.prefetch);
  for (uint32_t i : options.indices)
    RT_CHECK(i < data.size(), "loader: index {} in a data set of {} images", i, data.size());
  const int64_t n = options.indices.empty() ? data.size() : static_cast<int64_t>(options.indices.size());
  return options.drop_last ? n / options.batch * options.batch : n;
}

}  // namespace

Loader::Loader(const Dataset& data, LoaderOptions options)
    : data_(data),
      options_(std::move(options)),
      samples_(samples_per_epoch(data, options_)),
      preparation_(options_.preparation ? options_.preparation : as_stored(data.info().image)),
      ring_(options_.workers == 0 ? 1 : static_cast<size_t>(std::max(options_.prefetch, 1)) + 1) {
  for (Prefetched& place : ring_) place.batch = empty_batch();
}

Batch Loader::empty_batch() const {
  const auto images = static_cast<size_t>(std::min(options_.batch, samples_));
  Batch batch;
  batch.sample_storage.resize(images);
  batch.samples = batch.sample_storage.data();
  batch.label_storage.resize(images);
  batch.labels = batch.label_storage.data();
  if (!options_.gather) return batch;
  batch.pixel_storage.resize(images * static_cast<size_t>(preparation_->shape().bytes()));
  batch.pixels = batch.pixel_storage.data();
  return batch;
}

void Loader::start(uint32_t epoch, int64_t first_sample) {
  RT_CHECK(first_sample >= 0 && first_sample <= samples_, "loader: start at sample {} of an epoch of {}", first_sample,
           samples_);
  workers_.clear();  // each is asked to stop, does so before its next image, and is joined

  const size_t n = options_.indices.empty() ? static_cast<size_t>(data_.size()) : options_.indices.size();
  if (options_.shuffle) {
    order_ = shuffled(static_cast<uint32_t>(n), options_.seed, RngPurpose::shuffle, epoch);
  } else {
    order_.resize(n);
    std::iota(order_.begin(), order_.end(), 0u);
  }
  if (!options_.indices.empty())
    for (uint32_t& i : order_) i = options_.indices[i];
  epoch_ = epoch;
  first_sample_ = first_sample;
  batches_left_ = (samples_ - first_sample + (options_.drop_last ? 0 : options_.batch - 1)) / options_.batch;
  claimed_ = handed_ = released_ = 0;
  for (Prefetched& place : ring_) {
    place.filled = -1;
    place.error = nullptr;
  }

  const BlockSignals block;
  for (int64_t i = 0; i < std::min<int64_t>(options_.workers, batches_left_); ++i)
    workers_.emplace_back([this](const std::stop_token& stop) { work(stop); });
}

const Batch* Loader::next() {
  RT_CHECK(batches_left_ >= 0, "loader: next() before start()");
  std::unique_lock lock(mutex_);
  released_ = handed_;
  if (handed_ == batches_left_) return nullptr;
  Prefetched& place = ring_[static_cast<size_t>(handed_) % ring_.size()];
  if (workers_.empty()) {
    fill(place.batch, first_of(handed_), options_.stop);
    if (stopped()) return nullptr;
  } else {
    place_free_.notify_one();
    while (!batch_ready_.wait_for(lock, between_looks, [&] { return place.filled == handed_; }))
      if (stopped()) return nullptr;
    if (place.error) std::rethrow_exception(place.error);
  }
  ++handed_;
  return &place.batch;
}

void Loader::work(const std::stop_token& stop) {
  const auto ring = static_cast<int64_t>(ring_.size());
  std::unique_lock lock(mutex_);
  while (place_free_.wait(lock, stop, [&] { return claimed_ == batches_left_ || claimed_ < released_ + ring; })) {
    if (claimed_ == batches_left_ || stop.stop_requested()) return;
    const int64_t number = claimed_++;
    Prefetched& place = ring_[static_cast<size_t>(number % ring)];
    lock.unlock();
    try {
      fill(place.batch, first_of(number), [&stop] { return stop.stop_requested(); });
    } catch (...) {
      place.error = std::current_exception();
    }
    lock.lock();
    place.filled = number;
    batch_ready_.notify_one();
  }
}

void Loader::fill(Batch& batch, int64_t first, const std::function<bool()>& stop) const {
  const auto bytes = static_cast<size_t>(preparation_->shape().bytes());
  batch.first = first;
  batch.epoch = epoch_;
  batch.count = std::min(options_.batch, samples_ - first);
  for (int64_t i = 0; i < batch.count; ++i) {
    if (stop && stop()) return;
    const uint32_t sample = order_[static_cast<size_t>(first + i)];
    batch.samples[i] = static_cast<int32_t>(sample);
    batch.labels[i] = data_.label(sample);
    if (!batch.pixels) continue;
    const std::span<uint8_t> image(batch.pixels + static_cast<size_t>(i) * bytes, bytes);
    const SampleKey key{.seed = options_.seed, .epoch = epoch_, .sample = sample};
    naming_sample(data_, sample, [&] { preparation_->prepare(data_, key, image); });
  }
}

Batch Loader::again(int64_t first) const {
  RT_CHECK(batches_left_ >= 0, "loader: again() before start()");
  RT_CHECK(first >= 0 && first < samples_, "loader: the batch at sample {} of an epoch of {}", first, samples_);
  Batch batch = empty_batch();
  fill(batch, first, {});
  return batch;
}

std::pair<std::vector<uint32_t>, std::vector<uint32_t>> split_indices(int64_t n, double val_fraction, uint64_t seed) {
  RT_CHECK(val_fraction >= 0 && val_fraction < 1, "split: the validation fraction is {}, from 0 up to below 1",
           val_fraction);
  RT_CHECK(val_fraction == 0 || n >= 2, "split: {} images cannot be split in two", n);
  std::vector<uint32_t> train = shuffled(static_cast<uint32_t>(n), seed, RngPurpose::split, 0);
  int64_t count = 0;
  if (val_fraction > 0) count = std::clamp<int64_t>(std::llround(val_fraction * static_cast<double>(n)), 1, n - 1);
  std::vector<uint32_t> val(train.end() - count, train.end());
  train.resize(static_cast<size_t>(n - count));
  std::sort(train.begin(), train.end());
  std::sort(val.begin(), val.end());
  return {std::move(train), std::move(val)};
}

}  // namespace rt
