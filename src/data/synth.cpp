// Writing the synthetic set: labels, threads, files.
#include "data/synth.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>

#include "core/check.hpp"
#include "core/device.hpp"
#include "core/log.hpp"
#include "core/rng.hpp"
#include "data/threads.hpp"

namespace rt {
namespace fs = std::filesystem;
namespace {

constexpr size_t record_bytes = 1 + 3 * 32 * 32;
constexpr int64_t images_in_memory = 10000;

// Files that have temporary names until publish(); a set that was not finished leaves nothing behind.
class PendingFiles {
 public:
  explicit PendingFiles(fs::path dir) : dir_(std::move(dir)) {}
  ~PendingFiles() {
    std::error_code ignored;
    for (const std::string& name : names_) fs::remove(temporary(name), ignored);
  }
  void append(const std::string& name, const void* data, size_t bytes) {
    const bool begin = names_.empty() || names_.back() != name;
    if (begin) names_.push_back(name);
    const std::string path = temporary(name).string();
    std::FILE* file = std::fopen(path.c_str(), begin ? "wb" : "ab");
    int error = file == nullptr || std::fwrite(data, 1, bytes, file) != bytes ? errno : 0;
    if (file != nullptr && std::fclose(file) != 0 && error == 0) error = errno;
    if (error != 0)
      fail(ExitCode::data, "'{}' cannot be written ({} more bytes): {}", path, bytes, std::strerror(error));
  }
  // Files get their names in reverse: data_batch_1.bin comes last, and no reader takes a folder without it for a set.
  void publish() {
    for (; !names_.empty(); names_.pop_back()) {
      std::error_code error;
      fs::rename(temporary(names_.back()), dir_ / names_.back(), error);
      if (error) fail(ExitCode::data, "'{}' cannot be renamed: {}", temporary(names_.back()).string(), error.message());
    }
  }

 private:
  fs::path temporary(const std::string& name) const { return dir_ / (name + ".part"); }
  fs::path dir_;
  std::vector<std::string> names_;
};

void prepare_folder(const fs::path& dir) {
  std::error_code error;
  fs::create_directories(dir, error);
  if (error) fail(ExitCode::data, "the folder '{}' cannot be made: {}", dir.string(), error.message());
  for (fs::directory_iterator it(dir, error), end; !error && it != end; it.increment(error))
    if (it->path().extension() == ".bin" || it->path().filename() == "batches.meta.txt")
      fail(ExitCode::data, "'{}' already holds data ({}); remove it or choose another folder", dir.string(),
           it->path().filename().string());
  if (error) fail(ExitCode::data, "'{}' cannot be listed: {}", dir.string(), error.message());
}

// Labels of a split: every class equally often (the first n % 10 classes once more), in random order.
std::vector<uint32_t> shuffled_labels(int64_t n, uint64_t seed, uint32_t split) {
  // The stream (split + 2, 0): images have (0, i) and (1, i).
  std::vector<uint32_t> labels = shuffled(static_cast<uint32_t>(n), seed, RngPurpose::synth, split + 2);
  for (uint32_t& label : labels) label %= 10;
  return labels;
}

}  // namespace

const std::vector<std::string>& synthetic_class_names() {
  static const std::vector<std::string> names = {
      "disc",    "ring",    "square", "triangle", "plus", "star", "horizontal_stripes", "vertical_stripes",
      "checker", "crescent"};
  return names;
}

void write_synthetic(const std::string& dir, const SynthOptions& options) {
  if (options.train < 1 || options.test < 0 || options.train > INT32_MAX || options.test > INT32_MAX)
    fail(ExitCode::usage, "a synthetic set of {} training and {} test images: at least 1 and 0, at most {} each",
         options.train, options.test, INT32_MAX);
  prepare_folder(dir);
  PendingFiles files(dir);
  const int64_t threads = machine().threads.value, total = options.train + options.test;
  int64_t done = 0;

  auto write_images = [&](const std::string& name, uint32_t split, const std::vector<uint32_t>& labels, int64_t first,
                          int64_t last) {
    for (int64_t begin = first; begin < last; begin += images_in_memory) {
      log_status(rt::format("drawing {}: {} of {} images done", name, done, total));
      const int64_t count = std::min(images_in_memory, last - begin);
      std::vector<uint8_t> records(static_cast<size_t>(count) * record_bytes);
      std::atomic<int64_t> next{0};
      auto draw = [&] {
        for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) {
          const auto index = static_cast<uint32_t>(begin + i);
          uint8_t* record = records.data() + static_cast<size_t>(i) * record_bytes;
          record[0] = static_cast<uint8_t>(labels[index]);
          draw_synthetic(options.seed, split, index, record[0], record + 1);
        }
      };
      on_threads(threads, draw);
      done += count;
      log_status("");
      files.append(name, records.data(), records.size());
    }
  };

  const std::vector<uint32_t> train_labels = shuffled_labels(options.train, options.seed, 0);
  const std::vector<uint32_t> test_labels = shuffled_labels(options.test, options.seed, 1);
  const int64_t parts = std::min<int64_t>(5, options.train);
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t first = options.train * part / parts, last = options.train * (part + 1) / parts;
    write_images(rt::format("data_batch_{}.bin", part + 1), 0, train_labels, first, last);
  }
  if (options.test > 0) write_images("test_batch.bin", 1, test_labels, 0, options.test);
  std::string names;
  for (const std::string& name : synthetic_class_names()) names += name + "\n";
  files.append("batches.meta.txt", names.data(), names.size());
  files.publish();
}

}  // namespace rt
