// A data set that lies in memory, for tests.
#pragma once
#include <cstring>
#include <string>
#include <vector>

#include "core/rng.hpp"
#include "data/dataset.hpp"

namespace rt::testing {

// `size` square images of random bytes; labels run through the classes. Both may be changed before the set is used.
class MemoryDataset : public Dataset {
 public:
  MemoryDataset(int64_t size, int side, int classes) {
    info_.kind = "memory";
    info_.classes = classes;
    info_.image.height = side;
    info_.image.width = side;
    bytes.resize(static_cast<size_t>(size * info_.image.bytes()));
    Rng rng(1, RngPurpose::test);
    for (uint8_t& b : bytes) b = static_cast<uint8_t>(rng.next());
    for (int64_t i = 0; i < size; ++i) labels.push_back(static_cast<int>(i % classes));
  }
  const DatasetInfo& info() const override { return info_; }
  int64_t size() const override { return static_cast<int64_t>(labels.size()); }
  int label(int64_t i) const override { return labels[static_cast<size_t>(i)]; }
  std::string name(int64_t i) const override { return rt::format("image {}", i); }
  std::vector<FileStamp> files() const override { return stamps; }
  void read(int64_t i, std::span<uint8_t> image) const override { std::memcpy(image.data(), pixels(i), image.size()); }
  const uint8_t* pixels(int64_t i) const { return bytes.data() + i * info_.image.bytes(); }

  void use(ChecksumKind kind) { info_.checksum = kind; }
  std::vector<uint8_t> bytes;  // [size,3,side,side]
  std::vector<int> labels;
  std::vector<FileStamp> stamps;

 private:
  DatasetInfo info_;
};

// Image i of any set.
inline std::vector<uint8_t> image_of(const Dataset& data, int64_t i) {
  std::vector<uint8_t> image(static_cast<size_t>(data.shape(i).bytes()));
  data.read(i, image);
  return image;
}

}  // namespace rt::testing
