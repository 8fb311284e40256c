// The line that shows how far a loop is: its text, and where it is shown.
#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "core/log.hpp"
#include "tests/support/program.hpp"
#include "train/progress.hpp"

using namespace rt;
using namespace rt::testing;

TEST_CASE("progress: the line shows what is known, and its bar and estimate fit the count") {
  ProgressState s{.label = "epoch 3/30", .done = 164, .total = 391, .elapsed_s = 21};
  CHECK(format_progress(s, 0) == "epoch 3/30   41% 164/391 [00:21<00:29]");
  s.images_per_s = 995.4;
  s.loss = 1.2341;
  s.top1 = 0.561;
  s.lr = 0.09981;
  CHECK(format_progress(s, 10) ==
        "epoch 3/30   41%|####      | 164/391 [00:21<00:29, 995 images/s, loss 1.234, top-1 56.1 %, lr 0.0998]");
  s = {.label = "evaluation", .done = 8, .total = 8, .elapsed_s = 4, .images_per_s = 3.21};
  CHECK(format_progress(s, 4) == "evaluation  100%|####| 8/8 [00:04<00:00, 3.2 images/s]");
  CHECK(format_progress({.label = "x", .done = 0, .total = 8}, 4) == "x    0%|    | 0/8 [00:00<?]");
  // Resumed at 90 of 100: ten steps of 2 s each are left, whatever the first ninety took.
  CHECK(format_progress({.label = "x", .done = 95, .total = 100, .first = 90, .elapsed_s = 10}, 0) ==
        "x   95% 95/100 [00:10<00:10]");
  CHECK(format_progress({.label = "x", .done = 0, .total = 0}, 4) == "x    0%|    | 0/0 [00:00<?]");
}

TEST_CASE("progress: durations") {
  CHECK(format_duration(0.4) == "00:00");
  CHECK(format_duration(59.6) == "01:00");
  CHECK(format_duration(3723) == "1:02:03");
  CHECK(format_duration(2 * 86400 + 3723) == "2d 01:02:03");
  CHECK(format_duration(std::nan("")) == "?");
  CHECK(format_duration(INFINITY) == "?");
}

namespace {

constexpr const char* shown = "progress: for the next cases*";

// Longer than the interval between two redrawings of a terminal's line.
void wait_out_the_interval() { std::this_thread::sleep_for(std::chrono::milliseconds(110)); }

std::vector<std::string> split(const std::string& text, const std::string& at) {
  std::vector<std::string> parts;
  size_t from = 0;
  for (size_t to; (to = text.find(at, from)) != std::string::npos; from = to + at.size())
    parts.push_back(text.substr(from, to - from));
  parts.push_back(text.substr(from));
  return parts;
}

}  // namespace

TEST_CASE("progress: for the next cases a loop that shows two states and logs a line between" * doctest::skip()) {
  Progress progress("epoch 1/2", 10, 0, 0);
  wait_out_the_interval();
  progress.update(5, {.images_per_s = 100, .loss = 1.5, .top1 = 0.25, .lr = 0.125});
  log_info("a line of the log");
  wait_out_the_interval();
  progress.update(10, {.loss = 0.5});
}

TEST_CASE("progress: on a terminal one line is redrawn, cut to the width, around the log's and gone at the end") {
  const std::string clear = "\r\033[K";
  for (const unsigned short columns : {30, 200}) {
    CAPTURE(columns);
    const std::string written = stderr_of_case(shown, columns);
    CAPTURE(written);
    const std::vector<std::string> drawn = split(written, "\r");
    for (const std::string& part : drawn) CHECK(part.substr(0, part.find("\033[K")).size() < columns);
    CHECK(drawn[0].empty());
    const std::string first = "epoch 1/2   50%|##########          | 5/10 [00:";
    CHECK(drawn.at(1).starts_with(first.substr(0, columns - 1u)));
    CHECK((drawn.at(1).find("100 images/s, loss 1.500, top-1 25.0 %, lr 0.125]") != std::string::npos) ==
          (columns == 200));
    CHECK(written.find(clear + "a line of the log\r\n" + "\r" + drawn[1]) != std::string::npos);
    CHECK(written.find(std::string("\repoch 1/2  100%|####################| 10/10").substr(0, columns)) !=
          std::string::npos);
    CHECK(written.ends_with(clear));
  }
}

TEST_CASE("progress: elsewhere each state is a line of its own, without a bar") {
  const std::vector<std::string> lines = split(stderr_of_case(shown, 0), "\n");
  REQUIRE(lines.size() == 4);
  CHECK(lines[0].starts_with("epoch 1/2   50% 5/10 [00:"));
  CHECK(lines[0].ends_with(", 100 images/s, loss 1.500, top-1 25.0 %, lr 0.125]"));
  CHECK(lines[1] == "a line of the log");
  CHECK(lines[2].starts_with("epoch 1/2  100% 10/10 [00:"));
  CHECK(lines[2].ends_with("<00:00, loss 0.500]"));
  CHECK(lines[3].empty());
}
