// The table of keys, as a whole.
#include <doctest/doctest.h>

#include <set>
#include <string>

#include "train/config/config_keys.hpp"

using namespace rt;

TEST_CASE("config_keys: names differ, stand by table, and each key has help, a range or choices where it needs them") {
  std::set<std::string_view> names, tables;
  std::string_view table;
  for (const Key& key : config_keys()) {
    CAPTURE(key.name);
    CHECK(names.insert(key.name).second);
    CHECK(!key.help.empty());
    const std::string_view of = key.name.substr(0, key.name.find('.') == key.name.npos ? 0 : key.name.find('.'));
    if (of != table) CHECK(tables.insert(of).second);  // one stretch for each table
    table = of;
    Config config;
    const Member slot = key.member(config);
    const bool number = !std::holds_alternative<bool*>(slot) && !std::holds_alternative<std::string*>(slot);
    CHECK(number == (key.high > key.low));
    CHECK((key.choices.empty() || std::holds_alternative<std::string*>(slot)));
    if (of == "optimize") CHECK(std::holds_alternative<bool*>(slot) == !key.on.empty());
    CHECK(key.on.empty() == key.off.empty());
  }
  CHECK(find_key("train.batch")->name == "train.batch");
  CHECK(find_key("train") == nullptr);
}

TEST_CASE("config_keys: the nearest key forgives a slip and a wrong table") {
  CHECK(nearest_key("train.bach").name == "train.batch");
  CHECK(nearest_key("lr").name == "optimizer.lr");
  CHECK(nearest_key("optimize.momentum").name == "optimizer.momentum");
}

TEST_CASE("config_keys: what the machine chooses can be asked for again, whatever another machine had chosen") {
  std::set<std::string> settings;
  for (const std::string& setting : chosen_by_the_machine()) settings.insert(setting);
  for (const char* expected : {"device=auto", "threads=auto", "data.workers=auto", "optimize.graph=auto",
                               "optimize.resident=auto", "optimize.layout=auto"})
    CHECK_MESSAGE(settings.contains(expected), expected);
  CHECK(!settings.contains("train.batch=auto"));
  std::vector<std::string> overrides{"threads=3", "device=cpu", "optimize.layout=false"};
  overrides.insert(overrides.end(), settings.begin(), settings.end());
  const LoadedConfig loaded = load_config("", overrides);
  for (const char* key : {"threads", "device", "optimize.layout"}) CHECK(loaded.origins.at(key).automatic);
  CHECK(loaded.config.optimize.layout);
}
