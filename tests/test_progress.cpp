// The line that shows how far a loop is: its text, and where it is shown.
#include "train/progress.hpp"

#include <doctest/doctest.h>

using namespace rt;

TEST_CASE("progress: the line shows what is known, and its bar and estimate fit the count") {
  ProgressState s{.label = "epoch 3/30", .done = 164, .total = 391, .elapsed_s = 21};
  CHECK(format_progress(s, 0) == "epoch 3/30   41% 164/391 [00:21<00:29]");
  s.images_per_s = 995.4, s.loss = 1.2341, s.top1 = 0.561, s.lr = 0.09981;
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
