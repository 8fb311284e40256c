// docs/settings.md is what the table of keys says.
#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include "tests/support/source_folder.hpp"
#include "train/config/config_keys.hpp"
#include "train/config/settings_page.hpp"

using namespace rt;

TEST_CASE("settings_page: docs/settings.md is the page that `rtrain config --markdown` prints") {
  std::ifstream file(source_folder() / "docs" / "settings.md");
  const std::string written{std::istreambuf_iterator<char>(file), {}};
  // Not CHECK(a == b), which would print both pages.
  const bool same = written == settings_page();
  CHECK_MESSAGE(same, "rewrite it: build/release/rtrain config --markdown > docs/settings.md");
}

TEST_CASE("settings_page: a row for each key, of four cells, and no line over 120 columns") {
  std::istringstream page(settings_page());
  size_t rows = 0;
  for (std::string line; std::getline(page, line);) {
    CAPTURE(line);
    CHECK(line.size() <= 120);
    if (!line.starts_with("| `")) continue;
    ++rows;
    size_t bars = 0;
    for (size_t i = 0; i < line.size(); ++i) bars += line[i] == '|' && (i == 0 || line[i - 1] != '\\');
    CHECK(bars == 5);
  }
  CHECK(rows == config_keys().size());
  CHECK(settings_page().find("runs/\\<recipe>-\\<time>") != std::string::npos);  // or a browser takes it for a tag
  CHECK(settings_page().find("| `optimizer.lr` | auto | ") != std::string::npos);
}
