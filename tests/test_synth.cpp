// The synthetic set: bytes that follow from the seed, classes in balance, nothing overwritten.
#include <doctest/doctest.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "core/check.hpp"
#include "data/sources.hpp"
#include "data/synth.hpp"

using namespace rt;
namespace fs = std::filesystem;

namespace {

struct TempFolder {
  fs::path path = fs::temp_directory_path() / rt::format("rtrain_synth_{}_{}", ::getpid(), counter++);
  ~TempFolder() { fs::remove_all(path); }
  static inline int counter = 0;
};

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
std::map<std::string, std::string> contents(const fs::path& dir) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(dir))
    files[entry.path().filename().string()] = bytes_of(entry.path());
  return files;
}

}  // namespace

TEST_CASE("synth: the set opens as CIFAR binaries with its own class names, classes in balance and mixed") {
  TempFolder dir;
  write_synthetic(dir.path.string(), {.train = 1203, .test = 200, .seed = 1});
  CHECK(contents(dir.path).size() == 7);
  const DatasetPair pair = open_datasets("auto", dir.path.string());
  CHECK(pair.train->info().kind == "synthetic");
  CHECK(pair.train->info().class_names == synthetic_class_names());
  CHECK(pair.train->size() == 1203);
  REQUIRE(pair.test);
  CHECK(pair.test->size() == 200);
  std::vector<int> train(10), test(10), head(10);
  for (int64_t i = 0; i < 1203; ++i) ++train[static_cast<size_t>(pair.train->label(i))];
  for (int64_t i = 0; i < 200; ++i) ++test[static_cast<size_t>(pair.test->label(i))];
  for (int64_t i = 0; i < 240; ++i) ++head[static_cast<size_t>(pair.train->label(i))];
  for (size_t c = 0; c < 10; ++c) {
    CHECK(train[c] == (c < 3 ? 121 : 120));
    CHECK(test[c] == 20);
    CHECK(head[c] > 5);
  }
}

TEST_CASE("synth: the same seed writes the same bytes, another seed others") {
  TempFolder a, b, c;
  write_synthetic(a.path.string(), {.train = 250, .test = 50, .seed = 7});
  write_synthetic(b.path.string(), {.train = 250, .test = 50, .seed = 7});
  write_synthetic(c.path.string(), {.train = 250, .test = 50, .seed = 8});
  const auto first = contents(a.path), other = contents(c.path);
  CHECK(first == contents(b.path));
  for (const auto& [name, bytes] : first) CHECK((other.at(name) != bytes) == (name != "batches.meta.txt"));
}

TEST_CASE("synth: the drawing is pinned, on every compiler and machine") {
  std::vector<uint8_t> image(3072);
  XXH64_hash_t hash = 0;
  for (uint32_t i = 0; i < 100; ++i) {
    draw_synthetic(0, i % 2, i, static_cast<int>(i % 10), image.data());
    hash = XXH64(image.data(), image.size(), hash);
  }
  CHECK(hash == 3786850885934780735ull);
}

TEST_CASE("synth: object and background differ, and an image is no other image") {
  std::vector<uint8_t> image(3072), other(3072);
  for (uint32_t i = 0; i < 200; ++i) {
    draw_synthetic(3, 0, i, static_cast<int>(i % 10), image.data());
    int widest = 0;
    for (int c = 0; c < 3; ++c) {
      const auto [low, high] = std::minmax_element(image.begin() + c * 1024, image.begin() + (c + 1) * 1024);
      widest = std::max(widest, *high - *low);
    }
    CHECK(widest > 80);  // 0.6 apart in RGB is at least 0.34 in one channel
    draw_synthetic(3, 1, i, static_cast<int>(i % 10), other.data());
    CHECK(image != other);
  }
}

TEST_CASE("synth: any count works") {
  for (const auto& [train, test] : {std::pair<int64_t, int64_t>{1, 0}, {3, 1}, {7, 5}, {13, 10}}) {
    TempFolder dir;
    write_synthetic(dir.path.string(), {.train = train, .test = test});
    const DatasetPair pair = open_datasets("cifar10", dir.path.string());
    CHECK(pair.train->size() == train);
    CHECK((pair.test ? pair.test->size() : 0) == test);
  }
  TempFolder dir;
  for (const SynthOptions bad : {SynthOptions{0, 1, 0}, SynthOptions{-1, 1, 0}, SynthOptions{1, -1, 0}}) {
    try {
      write_synthetic(dir.path.string(), bad);
      FAIL("accepted");
    } catch (const Error& e) {
      CHECK(e.code() == ExitCode::usage);
    }
  }
  CHECK(!fs::exists(dir.path));
}

TEST_CASE("synth: a folder that holds data is left alone, and a failed write leaves nothing behind") {
  TempFolder dir;
  write_synthetic(dir.path.string(), {.train = 10, .test = 10});
  const auto before = contents(dir.path);
  try {
    write_synthetic(dir.path.string(), {.train = 20, .test = 10, .seed = 1});
    FAIL("overwritten");
  } catch (const Error& e) {
    CHECK(e.code() == ExitCode::data);
    CHECK(std::string(e.what()).find(dir.path.string()) != std::string::npos);
    CHECK(std::string(e.what()).find("already holds data") != std::string::npos);
  }
  CHECK(contents(dir.path) == before);

  // A folder in the way of a temporary file stands for any write that fails half way.
  TempFolder blocked;
  fs::create_directories(blocked.path / "test_batch.bin.part" / "x");
  try {
    write_synthetic(blocked.path.string(), {.train = 10, .test = 10});
    FAIL("written");
  } catch (const Error& e) {
    CHECK(e.code() == ExitCode::data);
    CHECK(std::string(e.what()).find("test_batch.bin.part") != std::string::npos);
  }
  CHECK(std::distance(fs::directory_iterator(blocked.path), fs::directory_iterator()) == 1);

  TempFolder file;
  std::ofstream(file.path) << "x";
  CHECK_THROWS_AS(write_synthetic(file.path.string(), {.train = 10, .test = 10}), Error);
}
