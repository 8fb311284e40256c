// Files are replaced as a whole or not at all, and errors name them.
#include <doctest/doctest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/error_of.hpp"
#include "tests/support/temp_folder.hpp"
#include "train/files/files.hpp"

using namespace rt;
using namespace rt::testing;
namespace fs = std::filesystem;

namespace {

// Files of this process cannot grow beyond some bytes: what a full disk looks like to it.
struct FileSizeLimit {
  rlimit before{};
  void (*handler)(int);
  explicit FileSizeLimit(rlim_t bytes) {
    handler = std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    const rlimit limit{bytes, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
  }
};

}  // namespace

TEST_CASE("files: a file is replaced as a whole, and nothing is left beside it") {
  const TempFolder folder;
  const std::string path = folder.write("f", "old");
  folder.write("f.tmp", "left by a killed process");
  atomic_write(path, "new");
  CHECK(folder.read("f") == "new");
  { AtomicFile(path).write("half", 4); }
  CHECK(folder.read("f") == "new");
  CHECK(!fs::exists(path + ".tmp"));
  InFolder inside(folder.path);
  atomic_write("relative", "x");
  CHECK(folder.read("relative") == "x");
}

TEST_CASE("files: a full disk leaves the old file, removes the new one and names the path") {
  const TempFolder folder;
  const std::string path = folder.write("f", "old");
  std::string message;
  {
    FileSizeLimit limit(1000);
    message = error_of([&] { atomic_write(path, std::string(5000, 'x')); }, ExitCode::runtime);
  }
  CHECK(message == "cannot write " + path + ": File too large; the file is as it was before");
  CHECK(folder.read("f") == "old");
  CHECK(!fs::exists(path + ".tmp"));
  CHECK(error_of([] { AppendFile("/dev/full").append("x"); }, ExitCode::runtime) ==
        "cannot write /dev/full: No space left on device");
}

TEST_CASE("files: a folder that is not there or in the way is named") {
  const TempFolder folder;
  CHECK(error_of([&] { atomic_write(folder / "no/f", "x"); }, ExitCode::runtime) ==
        "cannot write " + (folder / "no/f") + ": No such file or directory");
  fs::create_directory(folder / "d");
  CHECK(error_of([&] { atomic_write(folder / "d", "x"); }, ExitCode::runtime) ==
        "cannot replace " + (folder / "d") + ": Is a directory; the file is as it was before");
  CHECK(!fs::exists(folder / "d.tmp"));
}

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
