// Data folders: what is read, what is refused and in which words; the statistics against plain code.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "core/check.hpp"
#include "data/cifar.hpp"
#include "data/dataset.hpp"

using namespace rt;
namespace fs = std::filesystem;

namespace {

struct TempFolder {
  fs::path path = fs::temp_directory_path() / rt::format("rtrain_data_{}_{}", ::getpid(), counter++);
  TempFolder() { fs::create_directories(path); }
  ~TempFolder() { fs::remove_all(path); }
  static inline int counter = 0;
};

void write(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

// `count` records whose labels run through the classes and whose bytes follow from file, record and place.
std::string records(int count, int salt, int classes = 10, bool coarse = false) {
  std::string bytes;
  for (int i = 0; i < count; ++i) {
    if (coarse) bytes.push_back(static_cast<char>(i % 20));
    bytes.push_back(static_cast<char>((i + salt) % classes));
    for (int k = 0; k < 3072; ++k) bytes.push_back(static_cast<char>((i * 31 + k * 7 + salt) & 255));
  }
  return bytes;
}

// The message of the error that opening dir ends in; fails the test if there is none or it has another exit code.
std::string error_of(const fs::path& dir, const std::string& source = "auto", ExitCode code = ExitCode::data) {
  try {
    open_datasets(source, dir.string());
  } catch (const Error& e) {
    CHECK(e.code() == code);
    return e.what();
  }
  FAIL("no error");
  return "";
}

void check_says(const std::string& said, std::initializer_list<std::string> words) {
  for (const std::string& word : words) {
    INFO("said: ", said);
    INFO("missing: ", word);
    CHECK(said.find(word) != std::string::npos);
  }
}

}  // namespace

TEST_CASE("cifar10: batches are read in order, with labels, planes and the usual names") {
  TempFolder dir;
  write(dir.path / "data_batch_1.bin", records(3, 0));
  write(dir.path / "data_batch_2.bin", records(4, 5));
  write(dir.path / "test_batch.bin", records(2, 8));
  const DatasetPair pair = open_datasets("auto", dir.path.string());
  REQUIRE(pair.test);
  CHECK(pair.train->info().kind == "cifar10");
  CHECK(pair.train->info().classes == 10);
  CHECK(pair.train->info().class_names.at(9) == "truck");
  CHECK(pair.train->info().height == 32);
  CHECK(pair.train->info().width == 32);
  CHECK(pair.train->size() == 7);
  CHECK(pair.test->size() == 2);
  CHECK(pair.train->label(2) == 2);
  CHECK(pair.train->label(3) == 5);
  CHECK(pair.test->label(1) == 9);
  for (int k : {0, 1023, 1024, 3071}) CHECK(pair.train->pixels(4)[k] == ((31 + k * 7 + 5) & 255));
}

TEST_CASE("cifar10: the folder above, an explicit source and own class names work, and the test file may be absent") {
  TempFolder dir;
  write(dir.path / "cifar-10-batches-bin" / "data_batch_1.bin", records(1, 0));
  write(dir.path / "cifar-10-batches-bin" / "batches.meta.txt", "a\r\nb\nc\nd\ne\nf\ng\nh\ni\nlast one\n\n");
  const DatasetPair pair = open_datasets("cifar10", dir.path.string());
  CHECK(pair.test == nullptr);
  CHECK(pair.train->info().class_names.at(0) == "a");
  CHECK(pair.train->info().class_names.at(9) == "last one");
}

TEST_CASE("cifar100: the fine label is the class, and the coarse one is checked too") {
  TempFolder dir;
  write(dir.path / "cifar-100-binary" / "train.bin", records(130, 40, 100, true));
  write(dir.path / "cifar-100-binary" / "test.bin", records(1, 99, 100, true));
  const DatasetPair pair = open_datasets("auto", dir.path.string());
  CHECK(pair.train->info().kind == "cifar100");
  CHECK(pair.train->size() == 130);
  CHECK(pair.train->label(1) == 41);
  CHECK(pair.test->label(0) == 99);
  CHECK(pair.train->pixels(1)[0] == 31 + 40);
  const std::vector<std::string> names = pair.train->info().class_names;
  CHECK(names.size() == 100);
  CHECK(std::set<std::string>(names.begin(), names.end()).size() == 100);
  CHECK(std::is_sorted(names.begin(), names.end()));

  std::string bytes = records(3, 0, 100, true);
  bytes[2 * 3074] = 20;
  write(dir.path / "cifar-100-binary" / "train.bin", bytes);
  check_says(error_of(dir.path), {"train.bin", "record 2 ", "coarse label 20", "0 to 19"});
  bytes[2 * 3074] = 0, bytes[2 * 3074 + 1] = 100;
  write(dir.path / "cifar-100-binary" / "train.bin", bytes);
  check_says(error_of(dir.path), {"train.bin", "record 2 ", "the label 100", "0 to 99"});
  fs::remove(dir.path / "cifar-100-binary" / "train.bin");
  check_says(error_of(dir.path), {dir.path.string(), "no train.bin"});
}

TEST_CASE("cifar: damaged files are named with both sizes") {
  TempFolder dir;
  const fs::path first = dir.path / "data_batch_1.bin", second = dir.path / "data_batch_2.bin";
  write(first, records(2, 0));
  write(second, records(2, 0).substr(0, 6145));
  check_says(error_of(dir.path),
             {second.string(), "truncated", "6145 bytes", "1 records of 3073", "3072 bytes left over", "6146 bytes"});
  write(second, "");
  check_says(error_of(dir.path), {second.string(), "empty (0 bytes)"});
  std::string bytes = records(2, 0);
  bytes[3073] = 10;
  write(second, bytes);
  check_says(error_of(dir.path), {second.string(), "record 1 ", "the label 10", "0 to 9"});
  bytes[3073] = static_cast<char>(255);
  write(second, bytes);
  check_says(error_of(dir.path), {second.string(), "the label 255"});
  write(second, records(2, 0));
  write(dir.path / "test_batch.bin", "x");
  check_says(error_of(dir.path), {(dir.path / "test_batch.bin").string(), "1 bytes", "0 records"});
  fs::remove(dir.path / "test_batch.bin");
  write(dir.path / "batches.meta.txt", "cat\ndog\n");
  check_says(error_of(dir.path), {(dir.path / "batches.meta.txt").string(), "lists 2", "has 10"});
  fs::remove(dir.path / "batches.meta.txt");
  CHECK(open_datasets("auto", dir.path.string()).train->size() == 4);

  fs::remove(second);
  fs::create_directory(second);
  check_says(error_of(dir.path), {second.string(), "missing"});
}

TEST_CASE("cifar: a file that may not be read is named") {
  if (::geteuid() == 0) return;  // root reads everything
  TempFolder dir;
  write(dir.path / "data_batch_1.bin", records(1, 0));
  ::chmod((dir.path / "data_batch_1.bin").c_str(), 0);
  check_says(error_of(dir.path), {"data_batch_1.bin", "Permission denied"});
}

TEST_CASE("cifar10: a missing batch is an error, the last ones may be absent together") {
  TempFolder dir;
  for (int n : {1, 2, 4}) write(dir.path / rt::format("data_batch_{}.bin", n), records(1, 0));
  check_says(error_of(dir.path), {(dir.path / "data_batch_3.bin").string(), "missing", "up to data_batch_4.bin"});
  fs::remove(dir.path / "data_batch_4.bin");
  CHECK(open_datasets("auto", dir.path.string()).train->size() == 2);
  write(dir.path / "data_batch_3", "pickle");
  check_says(error_of(dir.path), {(dir.path / "data_batch_3.bin").string(), "missing", "python version"});
  for (int n : {1, 2}) fs::remove(dir.path / rt::format("data_batch_{}.bin", n));
  fs::remove(dir.path / "data_batch_3");
  write(dir.path / "test_batch.bin", records(1, 0));
  check_says(error_of(dir.path), {(dir.path / "data_batch_1.bin").string(), "missing"});
}

TEST_CASE("cifar10: five batches with the usual class names must have the real counts") {
  TempFolder dir;
  for (int n = 1; n <= 5; ++n) write(dir.path / rt::format("data_batch_{}.bin", n), records(2, 0));
  CHECK(open_datasets("auto", dir.path.string()).train->size() == 10);
  const fs::path names = dir.path / "batches.meta.txt";
  write(names, "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n");
  check_says(error_of(dir.path),
             {(dir.path / "data_batch_1.bin").string(), "2 records", "6146 bytes", "10000", "30730000 bytes"});
  write(names, "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\nlorry\n");
  CHECK(open_datasets("auto", dir.path.string()).train->size() == 10);
}

TEST_CASE("folders that hold something else are recognised, and the message says what to do") {
  TempFolder dir;
  check_says(error_of(dir.path), {dir.path.string(), "is empty"});
  check_says(error_of(dir.path / "absent"), {(dir.path / "absent").string(), "does not exist", "get_cifar10.sh"});
  check_says(error_of(dir.path, "mnist", ExitCode::usage), {"mnist", "auto, cifar10 or cifar100"});

  const fs::path other = dir.path / "other";
  write(other / "holiday.jpg", "x");
  check_says(error_of(other), {other.string(), "data_batch_1.bin", "train.bin", "holiday.jpg"});
  check_says(error_of(other / "holiday.jpg"), {"holiday.jpg", "is a file"});

  const fs::path archive = dir.path / "archive";
  write(archive / "cifar-10-binary.tar.gz", "x");
  check_says(error_of(archive), {"cifar-10-binary.tar.gz", "not unpacked", "tar -xf"});
  fs::rename(archive / "cifar-10-binary.tar.gz", archive / "cifar-100-python.tar.gz");
  check_says(error_of(archive), {"cifar-100-python.tar.gz", "python version", "cifar-100-binary.tar.gz"});

  const fs::path pickled = dir.path / "pickled";
  write(pickled / "data_batch_1", "\x80\x02");
  check_says(error_of(pickled),
             {(pickled / "data_batch_1").string(), "python version", "CIFAR-10;", "cifar-10-binary.tar.gz"});
  write(dir.path / "above" / "cifar-10-batches-py" / "data_batch_1", "\x80\x02");
  check_says(error_of(dir.path / "above"), {"cifar-10-batches-py", "python version"});
  const fs::path hundred = dir.path / "hundred";
  for (const char* name : {"train", "test", "meta"}) write(hundred / name, "\x80\x02");
  check_says(error_of(hundred),
             {(hundred / "train").string(), "python version", "CIFAR-100", "cifar-100-binary.tar.gz"});
  write(dir.path / "images" / "train" / "cat" / "1.jpg", "x");  // a folder named train is no pickle
  CHECK(error_of(dir.path / "images").find("python") == std::string::npos);
}

TEST_CASE("a folder with both sets needs a choice, and the wrong choice is explained") {
  TempFolder dir;
  write(dir.path / "data_batch_1.bin", records(1, 0));
  check_says(error_of(dir.path, "cifar100"), {dir.path.string(), "CIFAR-10 files", "data.source=cifar10"});
  write(dir.path / "cifar-100-binary" / "train.bin", records(1, 0, 100, true));
  check_says(error_of(dir.path), {dir.path.string(), "CIFAR-10 and CIFAR-100", "data.source=cifar100"});
  CHECK(open_datasets("cifar10", dir.path.string()).train->info().classes == 10);
  CHECK(open_datasets("cifar100", dir.path.string()).train->info().classes == 100);
}

TEST_CASE("channel_statistics: mean and deviation of every pixel, and a constant channel does not divide by zero") {
  TempFolder dir;
  std::string bytes = records(5, 3);
  for (int i = 0; i < 5; ++i) std::fill_n(bytes.begin() + i * 3073 + 1 + 2048, 1024, static_cast<char>(200));
  write(dir.path / "data_batch_1.bin", bytes);
  const DatasetPair pair = open_datasets("auto", dir.path.string());
  const Normalisation got = channel_statistics(*pair.train);
  for (int c = 0; c < 2; ++c) {
    double mean = 0, square = 0;
    for (int i = 0; i < 5; ++i)
      for (int k = 0; k < 1024; ++k) mean += pair.train->pixels(i)[c * 1024 + k] / 255.0 / 5120;
    for (int i = 0; i < 5; ++i)
      for (int k = 0; k < 1024; ++k) square += std::pow(pair.train->pixels(i)[c * 1024 + k] / 255.0 - mean, 2) / 5120;
    CHECK(got.mean[c] == doctest::Approx(mean).epsilon(1e-6));
    CHECK(got.std[c] == doctest::Approx(std::sqrt(square)).epsilon(1e-6));
  }
  CHECK(got.mean[2] == static_cast<float>(200 / 255.0));
  CHECK(got.std[2] == static_cast<float>(1 / 255.0));
}
