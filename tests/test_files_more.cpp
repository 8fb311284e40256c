// Writers of the same path at the same time.
#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "temp_folder.hpp"
#include "train/files/files.hpp"

using namespace rt;
namespace fs = std::filesystem;

TEST_CASE("files: a second writer of a path takes another temporary name, and the last commit wins") {
  const TempFolder folder;
  const std::string path = folder / "f";
  {
    AtomicFile first(path);
    AtomicFile second(path);
    first.write("first, and longer", 17);
    second.write("second", 6);
    CHECK(fs::exists(path + ".tmp"));
    CHECK(fs::exists(path + ".2.tmp"));
    first.commit();
    CHECK(folder.read("f") == "first, and longer");
    second.commit();
  }
  CHECK(folder.read("f") == "second");
  CHECK(std::distance(fs::directory_iterator(folder.path), {}) == 1);
}

TEST_CASE("files: what many writers leave is what one of them wrote") {
  const TempFolder folder;
  const std::string path = folder / "f";
  constexpr size_t bytes = 100'000;
  for (int round = 0; round < 20; ++round) {
    std::vector<std::jthread> writers;
    for (char c = 'a'; c < 'a' + 6; ++c)
      writers.emplace_back([&path, c] { atomic_write(path, std::string(bytes, c)); });
    writers.clear();
    const std::string text = folder.read("f");
    REQUIRE(text.size() == bytes);
    REQUIRE(text == std::string(bytes, text[0]));
  }
  CHECK(std::distance(fs::directory_iterator(folder.path), {}) == 1);
}
