// The seam of optimizers: the table, and where parameters lie in flat buffers.
#include <doctest/doctest.h>

#include <set>

#include "kernels/update/optimizer.hpp"
#include "train/config/config_keys.hpp"

using namespace rt;

TEST_CASE("optimizer: the table's names are the configuration's choices, and a wrong one lists them") {
  const Key* key = find_key("optimizer.name");
  CHECK(key->choices == optimizer_names());
  CHECK(optimizer_named("sgd").slots == std::vector<std::string_view>{"momentum"});
  for (const Optimizer& o : optimizers()) {
    CHECK(&optimizer_named(o.name) == &o);
    CHECK(std::set<std::string_view>(o.slots.begin(), o.slots.end()).size() == o.slots.size());
  }
  try {
    optimizer_named("adm");
    FAIL("must throw");
  } catch (const Error& e) {
    CHECK(e.code() == ExitCode::usage);
    CHECK(std::string(e.what()).find("no optimizer 'adm'; there are sgd") != std::string::npos);
  }
}

TEST_CASE("optimizer: a slice is its parameter's part of a flat buffer, in the order that steps want") {
  const Tensor flat({{100}});
  const FlatSlice matrix{.name = "fc.weight", .shape = {3, 5}, .offset = 16, .layout = Layout::nhwc};
  const FlatSlice filters{.name = "conv1.weight", .shape = {2, 3, 1, 1}, .offset = 32, .layout = Layout::nhwc};
  CHECK(matrix.of(flat.view()).as<float>() == flat.as<float>() + 16);
  CHECK(matrix.of(flat.view()).spec == Spec({{3, 5}}));
  CHECK(filters.of(flat.view()).as<float>() == flat.as<float>() + 32);
  CHECK(filters.of(flat.view()).spec == Spec({{2, 3, 1, 1}, DType::f32, Layout::nhwc}));
}

TEST_CASE("optimizer: parameters that decay end before the others begin, or an update is refused") {
  const FlatSlice first{.name = "a", .shape = {5}}, second{.name = "b", .shape = {2, 3}, .offset = 16};
  FlatSlice third{.name = "c", .shape = {4}, .offset = 32, .decays = false};
  CHECK(decayed_elements(std::vector{first, second, third}) == 22);
  CHECK(decayed_elements(std::vector{third}) == 0);
  third.offset = 8;
  CHECK_THROWS_WITH_AS(decayed_elements(std::vector{first, second, third}), doctest::Contains("decays"), Error);
}
