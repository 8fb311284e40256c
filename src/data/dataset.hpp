// A labelled set of images that are read one by one. How many there are, their labels and their names are known when
// the set is open; an image may still have to be fetched and decoded, and that may fail.
#pragma once
#include <array>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/check.hpp"

namespace rt {

// How the checksum of a set is made of its images and labels (data/survey.hpp). A run records it, so a source keeps its
// kind for ever.
enum class ChecksumKind { by_sample, chained };

struct ImageShape {
  int channels = 3, height = 0, width = 0;
  int64_t bytes() const { return int64_t{channels} * height * width; }  // planar, u8
  bool operator==(const ImageShape&) const = default;
};

struct DatasetInfo {
  std::string kind;  // for people: "cifar10", "cifar100", "synthetic" (the set that `rtrain synth` writes)
  int classes = 0;
  std::vector<std::string> class_names;  // as many as classes
  ImageShape image = {};                 // of every sample; 0x0 where they differ
  ChecksumKind checksum = ChecksumKind::by_sample;
};

// A file that samples come from, as it was before anything of it was read. Equal stamps mean that nothing was written
// to it since; ctime also tells when a program has put the mtime back.
struct FileStamp {
  std::string name;  // with its folders, from that of the set on
  int64_t bytes = 0, mtime_ns = 0, ctime_ns = 0;
  bool operator==(const FileStamp&) const = default;
};
// Of folder/name. Throws Error(data) if it cannot be looked at or is no regular file.
FileStamp stamp_of(const std::filesystem::path& folder, const std::filesystem::path& name);

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual const DatasetInfo& info() const = 0;
  virtual int64_t size() const = 0;                  // at most 2^32-1
  virtual int label(int64_t i) const = 0;            // in [0, classes)
  virtual std::string name(int64_t i) const = 0;     // where it came from: "data_batch_1.bin, record 17"
  virtual std::vector<FileStamp> files() const = 0;  // that the samples lie in; empty: in none

  virtual ImageShape shape(int64_t) const { return info().image; }  // of sample i, as read() gives it
  // Writes sample i: planar RGB [3,H,W] u8, shape(i).bytes() of them. What becomes of it (crop, resize) is a
  // Preparation's. Several threads call it at the same time. Throws Error(data) that says what is wrong with this
  // sample; whoever reads adds its name.
  virtual void read(int64_t i, std::span<uint8_t> image) const = 0;
};

struct DatasetPair {
  std::unique_ptr<Dataset> train;
  std::unique_ptr<Dataset> test;  // null if there are no test images
  std::string source = {};        // the name of what opened it (data/sources.hpp)
};

// Runs f, which works on sample i. An error of it gets the sample's name in front.
template <class F>
void naming_sample(const Dataset& data, int64_t i, F&& f) {
  try {
    f();
  } catch (const Error& e) {
    fail(e.code(), "{}: {}", data.name(i), e.what());
  } catch (const std::runtime_error& e) {
    fail(ExitCode::data, "{}: {}", data.name(i), e.what());
  }
}

// Per channel, on the scale 0..1: image value v becomes (v/255 - mean) / std.
struct Normalisation {
  std::array<float, 3> mean{0, 0, 0}, std{1, 1, 1};
};

}  // namespace rt
