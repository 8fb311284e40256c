// What is kept of a survey: used while nothing has changed, and not a moment longer.
#include <doctest/doctest.h>

#include <string>

#include "tests/support/memory_dataset.hpp"
#include "tests/support/temp_folder.hpp"
#include "train/survey_file.hpp"

using namespace rt;
using namespace rt::testing;

namespace {

MemoryDataset set_of_two_files() {
  MemoryDataset data(6, 4, 3);
  data.stamps = {{.name = "a/1", .bytes = 100, .mtime_ns = 1'700'000'000'123'456'789, .ctime_ns = 5},
                 {.name = "b/2", .bytes = 7, .mtime_ns = 2, .ctime_ns = 6}};
  return data;
}

}  // namespace

TEST_CASE("survey_file: what was kept comes back to the last bit, without a look at any image") {
  const TempFolder folder;
  const MemoryDataset data = set_of_two_files();
  const Survey before = *survey(data, 1);
  CHECK(!kept_survey(folder / "data.json", data));
  keep_survey(folder / "data.json", before, data);
  class Unreadable final : public MemoryDataset {
   public:
    explicit Unreadable(const MemoryDataset& data) : MemoryDataset(data) {}
    void read(int64_t, std::span<uint8_t>) const override { fail(ExitCode::data, "an image was read"); }
  };
  const std::optional<Survey> after = kept_survey(folder / "data.json", Unreadable(data));
  REQUIRE(after);
  CHECK(after->checksum == before.checksum);
  CHECK(after->statistics.mean == before.statistics.mean);
  CHECK(after->statistics.std == before.statistics.std);
}

TEST_CASE("survey_file: a file of another name, size or time, one more or one less, and it is out of date") {
  const TempFolder folder;
  const MemoryDataset data = set_of_two_files();
  keep_survey(folder / "data.json", *survey(data, 1), data);
  auto stale = [&](auto change) {
    MemoryDataset other = data;
    change(other.stamps);
    return !kept_survey(folder / "data.json", other);
  };
  using Stamps = std::vector<FileStamp>;
  CHECK(!stale([](Stamps&) {}));
  CHECK(stale([](Stamps& s) { s[1].name = "b/3"; }));
  CHECK(stale([](Stamps& s) { s[1].bytes += 1; }));
  CHECK(stale([](Stamps& s) { s[0].mtime_ns += 1; }));
  CHECK(stale([](Stamps& s) { s[0].ctime_ns += 1; }));
  CHECK(stale([](Stamps& s) { s.pop_back(); }));
  CHECK(stale([](Stamps& s) { s.push_back(s[0]); }));
  CHECK(stale([](Stamps& s) { std::swap(s[0], s[1]); }));
}

TEST_CASE("survey_file: images of another number or size, and it is out of date") {
  const TempFolder folder;
  const MemoryDataset data = set_of_two_files();
  keep_survey(folder / "data.json", *survey(data, 1), data);
  MemoryDataset more(7, 4, 3), larger(6, 8, 3), same(6, 4, 3);
  for (MemoryDataset* other : {&more, &larger, &same}) other->stamps = data.stamps;
  CHECK(!kept_survey(folder / "data.json", more));
  CHECK(!kept_survey(folder / "data.json", larger));
  CHECK(kept_survey(folder / "data.json", same));
}

TEST_CASE("survey_file: a damaged file and one of another version count for nothing") {
  const TempFolder folder;
  const MemoryDataset data = set_of_two_files();
  keep_survey(folder / "data.json", *survey(data, 1), data);
  const std::string whole = folder.read("data.json");
  REQUIRE(whole.find("\"version\": 1") != std::string::npos);
  for (const std::string& text :
       {std::string(), whole.substr(0, whole.size() / 2), std::string("[]"), std::string("{}")}) {
    folder.write("data.json", text);
    CHECK(!kept_survey(folder / "data.json", data));
  }
  std::string newer = whole;
  newer.replace(newer.find("\"version\": 1"), 12, "\"version\": 2");
  folder.write("data.json", newer);
  CHECK(!kept_survey(folder / "data.json", data));
  folder.write("data.json", whole);
  CHECK(kept_survey(folder / "data.json", data));
}

TEST_CASE("survey_file: nothing is kept of a set that lies in no files") {
  const TempFolder folder;
  const MemoryDataset data(6, 4, 3);
  keep_survey(folder / "data.json", *survey(data, 1), data);
  CHECK(folder.read("data.json").empty());
  CHECK(!kept_survey(folder / "data.json", data));
}
