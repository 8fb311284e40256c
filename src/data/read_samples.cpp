#include "data/read_samples.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>

#include "data/threads.hpp"

namespace rt {
namespace {

constexpr int64_t part_bytes = int64_t{16} << 20;
constexpr int64_t least_of_a_thread = 16;  // samples; the threads wait for the last of them

}  // namespace

int64_t samples_at_a_time(const Dataset& data, int64_t threads) {
  const int64_t wanted = std::max(part_bytes / data.info().image_bytes(), least_of_a_thread * threads);
  return std::min(wanted, data.size());
}

bool read_samples(const Dataset& data, int64_t first, std::span<uint8_t> images, const ReadOptions& options) {
  const auto image = static_cast<size_t>(data.info().image_bytes());
  const auto count = static_cast<int64_t>(images.size() / image);
  RT_CHECK(images.size() % image == 0 && first >= 0 && first + count <= data.size(),
           "read_samples: {} bytes from sample {} on, of {} samples of {} bytes", images.size(), first, data.size(),
           image);
  std::atomic<int64_t> next{0};
  std::atomic<bool> over{false}, stopped{false};
  std::mutex mutex;  // guards the two below
  std::exception_ptr error;
  int64_t failed = count;
  // What is claimed is read even when a later sample has failed, so that the error is always the same one.
  auto work = [&] {
    while (!over) {
      if (options.stop && options.stop()) {
        stopped = true;
        return;
      }
      const int64_t k = next.fetch_add(1, std::memory_order_relaxed);
      if (k >= count) return;
      try {
        const std::span<uint8_t> to = images.subspan(static_cast<size_t>(k) * image, image);
        naming_sample(data, first + k, [&] { data.read(first + k, to); });
        if (options.each) options.each(first + k, to);
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
