// Words of a command line that are settings, and those that are names.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/check.hpp"
#include "tools/words.hpp"

using namespace rt;

TEST_CASE("words: words with an equals sign are settings, the others names, of which one may be a data folder") {
  const Words words = split_words({"DIR", "train.batch=8", "data.dir=a=b"});
  CHECK(words.names == std::vector<std::string>{"DIR"});
  CHECK(words.settings == std::vector<std::string>{"train.batch=8", "data.dir=a=b"});
  CHECK(one_data_folder(words.names) == "DIR");
  CHECK(one_data_folder({}).empty());
  CHECK_THROWS_WITH(one_data_folder({"a", "b"}),
                    "two data folders, 'a' and 'b': name one; settings are written key=value");
}
