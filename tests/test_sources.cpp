// Which set a folder holds, and what is said where it holds none.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>

#include "tests/support/cifar_files.hpp"
#include "tests/support/temp_folder.hpp"
#include "train/config/config_keys.hpp"

using namespace rt;
using namespace rt::testing;
namespace fs = std::filesystem;

TEST_CASE("sources: names are unique, and settings, messages and help know all of them") {
  const TempFolder dir;
  const std::vector<std::string_view> names = source_names();
  CHECK(std::set<std::string_view>(names.begin(), names.end()).size() == names.size());
  CHECK(find_key("data.source")->choices == names);
  const std::string unknown = error_of_opening(dir.path, "mnist", ExitCode::usage);
  const std::string absent = error_of_opening(dir.path / "absent");
  for (const Source& source : sources()) {
    INFO(source.name);
    CHECK(unknown.find(source.name) != std::string::npos);
    CHECK(absent.find(source.help) != std::string::npos);
    CHECK(source_help().find(source.help) != std::string::npos);
  }
}

TEST_CASE("sources: each recognises its own files, here or in the folder below, and nothing in an empty folder") {
  const TempFolder dir;
  const fs::path ten = dir.path / "ten", hundred = dir.path / "hundred";
  fs::create_directory(dir.path / "none");
  write_file(ten / "data_batch_1.bin", cifar_records(1, 0));
  write_file(hundred / "cifar-100-binary" / "train.bin", cifar_records(1, 0, 100, true));
  for (const Source& source : sources()) {
    INFO(source.name);
    CHECK(source.recognise(dir.path / "none").empty());
    CHECK(source.recognise(dir.path / "absent").empty());
    CHECK(source.recognise(ten) == (source.name == "cifar10" ? ten : fs::path()));
    CHECK(source.recognise(hundred) == (source.name == "cifar100" ? hundred / "cifar-100-binary" : fs::path()));
    CHECK(source.recognise(ten / "data_batch_1.bin").empty());
    CHECK(source.explain(dir.path / "none").empty());
  }
  CHECK(open_datasets("auto", ten.string()).source == "cifar10");
  CHECK(open_datasets("auto", hundred.string()).source == "cifar100");
}

TEST_CASE("sources: folders that hold something else are recognised, and the message says what to do") {
  TempFolder dir;
  check_says(error_of_opening(dir.path), {dir.path.string(), "is empty"});
  check_says(error_of_opening(dir.path / "absent"),
             {(dir.path / "absent").string(), "does not exist", "get_cifar10.sh"});
  check_says(error_of_opening(dir.path, "mnist", ExitCode::usage), {"mnist", "auto, cifar10 or cifar100"});

  const fs::path other = dir.path / "other";
  write_file(other / "holiday.jpg", "x");
  check_says(error_of_opening(other), {other.string(), "data_batch_1.bin", "train.bin", "holiday.jpg"});
  check_says(error_of_opening(other / "holiday.jpg"), {"holiday.jpg", "is a file"});

  const fs::path archive = dir.path / "archive";
  write_file(archive / "cifar-10-binary.tar.gz", "x");
  check_says(error_of_opening(archive), {"cifar-10-binary.tar.gz", "not unpacked", "tar -xf"});
  fs::rename(archive / "cifar-10-binary.tar.gz", archive / "cifar-100-python.tar.gz");
  check_says(error_of_opening(archive), {"cifar-100-python.tar.gz", "python version", "cifar-100-binary.tar.gz"});

  const fs::path pickled = dir.path / "pickled";
  write_file(pickled / "data_batch_1", "\x80\x02");
  check_says(error_of_opening(pickled),
             {(pickled / "data_batch_1").string(), "python version", "CIFAR-10;", "cifar-10-binary.tar.gz"});
  write_file(dir.path / "above" / "cifar-10-batches-py" / "data_batch_1", "\x80\x02");
  check_says(error_of_opening(dir.path / "above"), {"cifar-10-batches-py", "python version"});
  const fs::path hundred = dir.path / "hundred";
  for (const char* name : {"train", "test", "meta"}) write_file(hundred / name, "\x80\x02");
  check_says(error_of_opening(hundred),
             {(hundred / "train").string(), "python version", "CIFAR-100", "cifar-100-binary.tar.gz"});
  write_file(dir.path / "images" / "train" / "cat" / "1.jpg", "x");  // a folder named train is no pickle
  CHECK(error_of_opening(dir.path / "images").find("python") == std::string::npos);
}

TEST_CASE("sources: a folder with both sets needs a choice, and the wrong choice is explained") {
  TempFolder dir;
  write_file(dir.path / "data_batch_1.bin", cifar_records(1, 0));
  check_says(error_of_opening(dir.path, "cifar100"), {dir.path.string(), "CIFAR-10 files", "data.source=cifar10"});
  write_file(dir.path / "cifar-100-binary" / "train.bin", cifar_records(1, 0, 100, true));
  check_says(error_of_opening(dir.path), {dir.path.string(), "CIFAR-10 and CIFAR-100", "data.source=cifar100"});
  CHECK(open_datasets("cifar10", dir.path.string()).train->info().classes == 10);
  CHECK(open_datasets("cifar100", dir.path.string()).train->info().classes == 100);
}
