// CIFAR binaries: what is read, what is refused and in which words.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "tests/support/cifar_files.hpp"
#include "tests/support/memory_dataset.hpp"
#include "tests/support/temp_folder.hpp"

using namespace rt;
using namespace rt::testing;
namespace fs = std::filesystem;

TEST_CASE("cifar: CIFAR-10, batches are read in order, with labels, planes and the usual names") {
  TempFolder dir;
  write_file(dir.path / "data_batch_1.bin", cifar_records(3, 0));
  write_file(dir.path / "data_batch_2.bin", cifar_records(4, 5));
  write_file(dir.path / "test_batch.bin", cifar_records(2, 8));
  const DatasetPair pair = open_datasets("auto", dir.path.string());
  REQUIRE(pair.test);
  CHECK(pair.train->info().kind == "cifar10");
  CHECK(pair.train->info().classes == 10);
  CHECK(pair.train->info().class_names.at(9) == "truck");
  CHECK(pair.train->info().image.height == 32);
  CHECK(pair.train->info().image.width == 32);
  CHECK(pair.train->size() == 7);
  CHECK(pair.test->size() == 2);
  CHECK(pair.train->label(2) == 2);
  CHECK(pair.train->label(3) == 5);
  CHECK(pair.test->label(1) == 9);
  CHECK(pair.train->name(0) == "data_batch_1.bin, record 0");
  CHECK(pair.train->name(2) == "data_batch_1.bin, record 2");
  CHECK(pair.train->name(3) == "data_batch_2.bin, record 0");
  CHECK(pair.train->name(6) == "data_batch_2.bin, record 3");
  CHECK(pair.test->name(1) == "test_batch.bin, record 1");
  for (int k : {0, 1023, 1024, 3071})
    CHECK(image_of(*pair.train, 4)[static_cast<size_t>(k)] == ((31 + k * 7 + 5) & 255));
}

TEST_CASE(
    "cifar: CIFAR-10, the folder above, an explicit source and own class names work, and the test file may be absent") {
  TempFolder dir;
  write_file(dir.path / "cifar-10-batches-bin" / "data_batch_1.bin", cifar_records(1, 0));
  write_file(dir.path / "cifar-10-batches-bin" / "batches.meta.txt", "a\r\nb\nc\nd\ne\nf\ng\nh\ni\nlast one\n\n");
  const DatasetPair pair = open_datasets("cifar10", dir.path.string());
  CHECK(pair.test == nullptr);
  CHECK(pair.train->info().class_names.at(0) == "a");
  CHECK(pair.train->info().class_names.at(9) == "last one");
}

TEST_CASE("cifar: CIFAR-100, the fine label is the class, and the coarse one is checked too") {
  TempFolder dir;
  write_file(dir.path / "cifar-100-binary" / "train.bin", cifar_records(130, 40, 100, true));
  write_file(dir.path / "cifar-100-binary" / "test.bin", cifar_records(1, 99, 100, true));
  const DatasetPair pair = open_datasets("auto", dir.path.string());
  CHECK(pair.train->info().kind == "cifar100");
  CHECK(pair.train->size() == 130);
  CHECK(pair.train->label(1) == 41);
  CHECK(pair.test->label(0) == 99);
  CHECK(image_of(*pair.train, 1)[0] == 31 + 40);
  const std::vector<std::string> names = pair.train->info().class_names;
  CHECK(names.size() == 100);
  CHECK(std::set<std::string>(names.begin(), names.end()).size() == 100);
  CHECK(std::is_sorted(names.begin(), names.end()));

  std::string bytes = cifar_records(3, 0, 100, true);
  bytes[2 * 3074] = 20;
  write_file(dir.path / "cifar-100-binary" / "train.bin", bytes);
  check_says(error_of_opening(dir.path), {"train.bin", "record 2 ", "coarse label 20", "0 to 19"});
  bytes[2 * 3074] = 0;
  bytes[2 * 3074 + 1] = 100;
  write_file(dir.path / "cifar-100-binary" / "train.bin", bytes);
  check_says(error_of_opening(dir.path), {"train.bin", "record 2 ", "the label 100", "0 to 99"});
  fs::remove(dir.path / "cifar-100-binary" / "train.bin");
  check_says(error_of_opening(dir.path), {dir.path.string(), "no train.bin"});
}

TEST_CASE("cifar: damaged files are named with both sizes") {
  TempFolder dir;
  const fs::path first = dir.path / "data_batch_1.bin", second = dir.path / "data_batch_2.bin";
  write_file(first, cifar_records(2, 0));
  write_file(second, cifar_records(2, 0).substr(0, 6145));
  check_says(error_of_opening(dir.path),
             {second.string(), "truncated", "6145 bytes", "1 records of 3073", "3072 bytes left over", "6146 bytes"});
  write_file(second, "");
  check_says(error_of_opening(dir.path), {second.string(), "empty (0 bytes)"});
  std::string bytes = cifar_records(2, 0);
  bytes[3073] = 10;
  write_file(second, bytes);
  check_says(error_of_opening(dir.path), {second.string(), "record 1 ", "the label 10", "0 to 9"});
  bytes[3073] = static_cast<char>(255);
  write_file(second, bytes);
  check_says(error_of_opening(dir.path), {second.string(), "the label 255"});
  write_file(second, cifar_records(2, 0));
  write_file(dir.path / "test_batch.bin", "x");
  check_says(error_of_opening(dir.path), {(dir.path / "test_batch.bin").string(), "1 bytes", "0 records"});
  fs::remove(dir.path / "test_batch.bin");
  write_file(dir.path / "batches.meta.txt", "cat\ndog\n");
  check_says(error_of_opening(dir.path), {(dir.path / "batches.meta.txt").string(), "lists 2", "has 10"});
  fs::remove(dir.path / "batches.meta.txt");
  CHECK(open_datasets("auto", dir.path.string()).train->size() == 4);

  fs::remove(second);
  fs::create_directory(second);
  check_says(error_of_opening(dir.path), {second.string(), "missing"});
}

TEST_CASE("cifar: a file that may not be read is named") {
  if (::geteuid() == 0) return;  // root reads everything
  TempFolder dir;
  write_file(dir.path / "data_batch_1.bin", cifar_records(1, 0));
  ::chmod((dir.path / "data_batch_1.bin").c_str(), 0);
  check_says(error_of_opening(dir.path), {"data_batch_1.bin", "Permission denied"});
}

TEST_CASE("cifar: CIFAR-10, a missing batch is an error, the last ones may be absent together") {
  TempFolder dir;
  for (int n : {1, 2, 4}) write_file(dir.path / rt::format("data_batch_{}.bin", n), cifar_records(1, 0));
  check_says(error_of_opening(dir.path),
             {(dir.path / "data_batch_3.bin").string(), "missing", "up to data_batch_4.bin"});
  fs::remove(dir.path / "data_batch_4.bin");
  CHECK(open_datasets("auto", dir.path.string()).train->size() == 2);
  write_file(dir.path / "data_batch_3", "pickle");
  check_says(error_of_opening(dir.path), {(dir.path / "data_batch_3.bin").string(), "missing", "python version"});
  for (int n : {1, 2}) fs::remove(dir.path / rt::format("data_batch_{}.bin", n));
  fs::remove(dir.path / "data_batch_3");
  write_file(dir.path / "test_batch.bin", cifar_records(1, 0));
  check_says(error_of_opening(dir.path), {(dir.path / "data_batch_1.bin").string(), "missing"});
}

TEST_CASE("cifar: CIFAR-10, five batches with the usual class names must have the real counts") {
  TempFolder dir;
  for (int n = 1; n <= 5; ++n) write_file(dir.path / rt::format("data_batch_{}.bin", n), cifar_records(2, 0));
  CHECK(open_datasets("auto", dir.path.string()).train->size() == 10);
  const fs::path names = dir.path / "batches.meta.txt";
  write_file(names, "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n");
  check_says(error_of_opening(dir.path),
             {(dir.path / "data_batch_1.bin").string(), "2 records", "6146 bytes", "10000", "30730000 bytes"});
  write_file(names, "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\nlorry\n");
  CHECK(open_datasets("auto", dir.path.string()).train->size() == 10);
}

TEST_CASE("cifar: the set says which files it was read from, and their stamps change with them") {
  const TempFolder dir;
  write_file(dir.path / "data_batch_1.bin", cifar_records(3, 0));
  write_file(dir.path / "data_batch_2.bin", cifar_records(1, 0));
  auto files = [&] { return open_datasets("auto", dir.path.string()).train->files(); };
  const std::vector<FileStamp> before = files();
  REQUIRE(before.size() == 2);
  CHECK(before[0].name == "data_batch_1.bin");
  CHECK(before[0].bytes == 3 * 3073);
  CHECK(before[1].name == "data_batch_2.bin");
  CHECK(files() == before);

  // A program that writes the file anew and puts the old mtime back: ctime tells.
  const auto mtime = fs::last_write_time(dir.path / "data_batch_2.bin");
  ::usleep(20'000);
  write_file(dir.path / "data_batch_2.bin", cifar_records(1, 1));
  fs::last_write_time(dir.path / "data_batch_2.bin", mtime);
  const std::vector<FileStamp> after = files();
  CHECK(after[0] == before[0]);
  CHECK(after[1].mtime_ns == before[1].mtime_ns);
  CHECK(after[1].bytes == before[1].bytes);
  CHECK(after[1] != before[1]);
}
