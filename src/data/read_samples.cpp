#include "data/read_samples.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>

#include "data/threads.hpp"

namespace rt {
namespace {

constexpr int64_t part_bytes = int64_t{16} << 20;
constexpr int64_t least_of_a_thread = 16;  // samples; the threads wait for the last of them

// `own`: memory of the thread, where the sample has no place.
std::span<uint8_t> read_one(const Dataset& data, int64_t i, const ReadOptions& options, std::vector<uint8_t>& own) {
  const Preparation* preparation = options.preparation;
  const int64_t bytes = preparation ? preparation->shape().bytes() : data.shape(i).bytes();
  std::span<uint8_t> image;
  if (options.place) {
    image = options.place(i);
    RT_CHECK(std::ssize(image) == bytes, "read_samples: {} bytes for sample {}, which has {}", image.size(), i, bytes);
  } else {
    own.resize(static_cast<size_t>(bytes));
    image = own;
  }
  naming_sample(data, i, [&] {
    if (preparation)
      preparation->prepare(data, {.sample = static_cast<uint32_t>(i)}, image);
    else
      data.read(i, image);
  });
  return image;
}

}  // namespace

int64_t samples_at_a_time(int64_t samples, int64_t image_bytes, int64_t threads) {
  const int64_t wanted = std::max(part_bytes / std::max<int64_t>(image_bytes, 1), least_of_a_thread * threads);
  return std::min(wanted, samples);
}

bool read_samples(const Dataset& data, int64_t first, int64_t count, const ReadOptions& options) {
  RT_CHECK(first >= 0 && count >= 0 && first + count <= data.size(), "read_samples: {} samples from {} on, of {}",
           count, first, data.size());
  std::atomic<int64_t> next{0};
  std::atomic<bool> over{false}, stopped{false};
  std::mutex mutex;  // guards the two below
  std::exception_ptr error;
  int64_t failed = count;
  // What is claimed is read even when a later sample has failed, so that the error is always the same one.
  auto work = [&] {
    std::vector<uint8_t> own;
    while (!over) {
      if (options.stop && options.stop()) {
        stopped = true;
        return;
      }
      const int64_t k = next.fetch_add(1, std::memory_order_relaxed);
      if (k >= count) return;
      try {
        const std::span<uint8_t> image = read_one(data, first + k, options, own);
        if (options.each) options.each(first + k, image);
      } catch (...) {
        over = true;
        const std::lock_guard lock(mutex);
        if (k >= failed) continue;
        failed = k;
        error = std::current_exception();
      }
    }
  };
  on_threads(std::min(options.threads, count), work);
  if (error) std::rethrow_exception(error);
  return !stopped;
}

}  // namespace rt
