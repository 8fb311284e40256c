// A labelled set of images that lies in memory as bytes, and how a folder becomes one.
// Sizes and labels are checked when a set is opened, so that reading an image can no longer fail.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace rt {

struct DatasetInfo {
  std::string kind;  // "cifar10", "cifar100", "synthetic" (the set that `rtrain synth` writes)
  int classes = 0;
  std::vector<std::string> class_names;  // as many as classes
  int channels = 3, height = 0, width = 0;
};

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual const DatasetInfo& info() const = 0;
  virtual int64_t size() const = 0;
  virtual int label(int64_t i) const = 0;              // in [0, classes)
  virtual const uint8_t* pixels(int64_t i) const = 0;  // planar RGB [3,H,W] u8, valid for the dataset's life
};

struct DatasetPair {
  std::unique_ptr<Dataset> train;
  std::unique_ptr<Dataset> test;  // null if the folder has no test file
};

// source: "auto" (recognise the folder), "cifar10" or "cifar100". dir: the folder with the files, or the one in which
// the archive was unpacked. Throws Error(usage) for an unknown source, Error(data) for anything wrong with the folder.
DatasetPair open_datasets(const std::string& source, const std::string& dir);

// XXH3-64 of every image and label as 16 hexadecimal digits: whether this is the set that a run was started on.
std::string checksum(const Dataset& data);

// Per channel, on the scale 0..1: image value v becomes (v/255 - mean) / std.
struct Normalisation {
  std::array<float, 3> mean{0, 0, 0}, std{1, 1, 1};
};

// Mean and population standard deviation of every pixel of the set, at least 1/255 (a constant channel must not divide
// by 0). On the real CIFAR sets this gives the published constants to all their digits, so there is no table of them.
// Integer sums: the same bits whatever the order.
Normalisation channel_statistics(const Dataset& data);

}  // namespace rt
