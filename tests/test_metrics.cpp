// The files of metrics: what each event writes, and what is left when they are cut back to a checkpoint.
#include <doctest/doctest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/temp_folder.hpp"
#include "train/metrics.hpp"

using namespace rt;
namespace fs = std::filesystem;

namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

constexpr const char* header = "event,step,epoch,loss,lr,grad_norm,images_per_s,data_wait_ms,top1,top5";

// Two epochs of two steps with an evaluation after each.
void two_epochs(const TempFolder& folder) {
  Metrics metrics(folder / "m.csv", folder / "m.jsonl");
  for (int step = 1; step <= 4; ++step) {
    metrics.add(TrainEvent{.step = step,
                           .epoch = step / 2.0,
                           .loss = 2.5,
                           .lr = 0.1,
                           .grad_norm = 1,
                           .images_per_s = 30,
                           .data_wait_ms = 0});
    if (step % 2 == 0) metrics.add(EvalEvent{.step = step, .epoch = step / 2.0, .loss = 1.5, .top1 = 0.5, .top5 = 0.9});
  }
}

}  // namespace

TEST_CASE("metrics: both files hold every event with every digit") {
  const TempFolder folder;
  {
    Metrics metrics(folder / "m.csv", folder / "m.jsonl");
    metrics.add(TrainEvent{.step = 10,
                           .epoch = 0.1,
                           .loss = 0.1 + 0.2,
                           .lr = 1e-5,
                           .grad_norm = std::nan(""),
                           .images_per_s = 1.0 / 3,
                           .data_wait_ms = 0});
    CHECK(lines_of(folder.read("m.csv")).size() == 2);  // there when the call returns
  }
  Metrics(folder / "m.csv", folder / "m.jsonl")
      .add(EvalEvent{.step = 20, .epoch = 1, .loss = 1.25, .top1 = 0.5, .top5 = INFINITY});
  const std::vector<std::string> json = lines_of(folder.read("m.jsonl")), csv = lines_of(folder.read("m.csv"));
  REQUIRE(json.size() == 2);
  const auto train = nlohmann::json::parse(json[0]), eval = nlohmann::json::parse(json[1]);
  CHECK(train["event"] == "train");
  CHECK(train["step"] == 10);
  CHECK(train["epoch"] == 0.1);
  CHECK(train["loss"] == 0.1 + 0.2);
  CHECK(train["lr"] == 1e-5);
  CHECK(train["grad_norm"].is_null());
  CHECK(train["images_per_s"] == 1.0 / 3);
  CHECK(train["data_wait_ms"] == 0);
  CHECK(json[1] == R"({"event":"eval","step":20,"epoch":1,"loss":1.25,"top1":0.5,"top5":null})");
  CHECK(eval["top1"] == 0.5);
  REQUIRE(csv.size() == 3);
  CHECK(csv[0] == header);
  CHECK(csv[1] == "train,10,0.1,0.30000000000000004,1e-05,nan,0.3333333333333333,0,,");
  CHECK(csv[2] == "eval,20,1,1.25,,,,,0.5,inf");
}

TEST_CASE("metrics: cut back to a checkpoint, both files hold what happened before it and nothing else") {
  const auto steps_after_cut = [](int64_t step, bool evaluated) {
    const TempFolder folder;
    two_epochs(folder);
    truncate_metrics_after(folder / "m.csv", folder / "m.jsonl", step, evaluated);
    std::string from_json, from_csv;
    for (const std::string& line : lines_of(folder.read("m.jsonl"))) {
      const auto event = nlohmann::json::parse(line);
      from_json += event["event"].get<std::string>().substr(0, 1) + std::to_string(event["step"].get<int>()) + " ";
    }
    const std::vector<std::string> csv = lines_of(folder.read("m.csv"));
    CHECK(csv.at(0) == header);
    for (size_t i = 1; i < csv.size(); ++i)
      from_csv +=
          csv[i].substr(0, 1) + csv[i].substr(csv[i].find(',') + 1, csv[i].find(',', 6) - csv[i].find(',') - 1) + " ";
    CHECK(from_json == from_csv);
    return from_json;
  };
  CHECK(steps_after_cut(0, true) == "");
  CHECK(steps_after_cut(1, true) == "t1 ");
  CHECK(steps_after_cut(2, false) == "t1 t2 ");
  CHECK(steps_after_cut(2, true) == "t1 t2 e2 ");
  CHECK(steps_after_cut(3, false) == "t1 t2 e2 t3 ");
  CHECK(steps_after_cut(9, true) == "t1 t2 e2 t3 t4 e4 ");
}

TEST_CASE("metrics: a half-written last line goes, absent files stay away, and events go on after the cut") {
  const TempFolder folder;
  two_epochs(folder);
  const std::string csv = folder.read("m.csv"), json = folder.read("m.jsonl");
  folder.write("m.csv", csv.substr(0, csv.size() - 3));
  folder.write("m.jsonl", json.substr(0, json.size() - 3));
  truncate_metrics_after(folder / "m.csv", folder / "m.jsonl", 100, true);
  CHECK(lines_of(folder.read("m.csv")).size() == 6);
  CHECK(lines_of(folder.read("m.jsonl")).size() == 5);
  Metrics(folder / "m.csv", folder / "m.jsonl")
      .add(EvalEvent{.step = 4, .epoch = 2, .loss = 1.5, .top1 = 0.5, .top5 = 0.9});
  CHECK(folder.read("m.csv") == csv);
  CHECK(folder.read("m.jsonl") == json);
  truncate_metrics_after(folder / "no.csv", folder / "no.jsonl", 1, true);
  CHECK(!fs::exists(folder / "no.csv"));
}
