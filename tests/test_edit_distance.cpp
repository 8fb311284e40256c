#include <doctest/doctest.h>

#include "core/edit_distance.hpp"

using rt::edit_distance;

TEST_CASE("edit_distance: letters put in, left out and replaced are counted") {
  CHECK(edit_distance("", "") == 0);
  CHECK(edit_distance("train", "train") == 0);
  CHECK(edit_distance("", "eval") == 4);
  CHECK(edit_distance("eval", "") == 4);
  CHECK(edit_distance("trian", "train") == 2);
  CHECK(edit_distance("kitten", "sitting") == 3);
}
