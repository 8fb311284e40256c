// Choices that outlive a process: lines of text that may be damaged, shared, or in a folder that cannot be written.
#include <doctest/doctest.h>

#include <cstdlib>
#include <string>

#include "kernels/choice_file.hpp"
#include "tests/support/temp_folder.hpp"

using namespace rt;

namespace {

const ChoiceFile::Format numbers{.what = "a number", .is_choice = [](const std::vector<std::string>& fields) {
                                   return fields.back().find_first_not_of("0123456789") == std::string::npos;
                                 }};

}  // namespace

TEST_CASE("choice_file: what is remembered is found, by this process and by the next; the later line counts") {
  const TempFolder folder;
  const std::string path = folder / "deep/choices.txt";
  ChoiceFile choices(path, numbers);
  CHECK(!choices.find("a\tb"));
  choices.remember("a\tb", "1");
  choices.remember("c", "2");
  choices.remember("c", "2");  // says so already
  choices.remember("a\tb", "3");
  CHECK(choices.find("a\tb") == "3");
  CHECK(folder.read("deep/choices.txt") == "a\tb\t1\nc\t2\na\tb\t3\n");
  const ChoiceFile again(path, numbers);
  CHECK(again.find("a\tb") == "3");
  CHECK(again.find("c") == "2");
  CHECK(!again.find("a"));
}

TEST_CASE("choice_file: damaged lines are passed over and kept, and a torn one is ended before the next") {
  const TempFolder folder;
  const std::string path = folder.write("choices.txt", "a\t1\nno number\tx\n\nnonsense\nb\t2\nc\t34");
  ChoiceFile choices(path, numbers);
  CHECK(choices.find("a") == "1");
  CHECK(choices.find("b") == "2");
  CHECK(!choices.find("no number"));
  CHECK(!choices.find("c"));  // might have been 345
  choices.remember("c", "5");
  CHECK(folder.read("choices.txt") == "a\t1\nno number\tx\n\nnonsense\nb\t2\nc\t34\nc\t5\n");
  CHECK(ChoiceFile(path, numbers).find("c") == "5");
}

TEST_CASE("choice_file: without a file, or with one that cannot be written, a choice lasts as long as the process") {
  ChoiceFile nowhere;
  nowhere.remember("a", "1");
  CHECK(nowhere.find("a") == "1");
  const TempFolder folder;
  ChoiceFile blocked(folder.write("file", "") + "/choices.txt", numbers);
  blocked.remember("a", "1");
  CHECK(blocked.find("a") == "1");
  CHECK(blocked.path().empty());
  const ChoiceFile a_folder(folder.path.string(), numbers);
  CHECK(!a_folder.find("a"));
}

TEST_CASE("choice_file: caches of the user lie where the user says, else in the home folder") {
  const CacheFolder caches;
  CHECK(user_cache_file("x.txt") == caches / "rtrain/x.txt");
  setenv("XDG_CACHE_HOME", "", 1);
  const std::string home = std::getenv("HOME") ? std::getenv("HOME") : "";
  CHECK(user_cache_file("x.txt") == (home.empty() ? "" : home + "/.cache/rtrain/x.txt"));
}
