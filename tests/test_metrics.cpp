#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmath>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "core/check.hpp"
#include "tests/support/temp_folder.hpp"
#include "train/files/files.hpp"
#include "train/metrics.hpp"
#include "train/progress.hpp"
#include "train/run_folder.hpp"

using namespace rt;
namespace fs = std::filesystem;

namespace {

template <class F>
std::string error_of(F&& f, ExitCode code) {
  try {
    f();
  } catch (const Error& e) {
    CHECK(e.code() == code);
    return e.what();
  }
  return "";
}

// Files of this process cannot grow beyond some bytes: what a full disk looks like to it.
struct FileSizeLimit {
  rlimit before{};
  void (*handler)(int);
  explicit FileSizeLimit(rlim_t bytes) {
    handler = std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    const rlimit limit{bytes, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
  }
};

struct InFolder {
  fs::path before = fs::current_path();
  explicit InFolder(const fs::path& path) { fs::current_path(path); }
  ~InFolder() { fs::current_path(before); }
};

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
    metrics.add(TrainEvent{step, step / 2.0, 2.5, 0.1, 1, 30, 0});
    if (step % 2 == 0) metrics.add(EvalEvent{step, step / 2.0, 1.5, 0.5, 0.9});
  }
}

}  // namespace

TEST_CASE("files: a file is replaced as a whole, and nothing is left beside it") {
  const TempFolder folder;
  const std::string path = folder.write("f", "old");
  folder.write("f.tmp", "left by a killed process");
  atomic_write(path, "new");
  CHECK(folder.read("f") == "new");
  { AtomicFile(path).write("half", 4); }
  CHECK(folder.read("f") == "new");
  CHECK(!fs::exists(path + ".tmp"));
  InFolder inside(folder.path);
  atomic_write("relative", "x");
  CHECK(folder.read("relative") == "x");
}

TEST_CASE("files: a full disk leaves the old file, removes the new one and names the path") {
  const TempFolder folder;
  const std::string path = folder.write("f", "old");
  std::string message;
  {
    FileSizeLimit limit(1000);
    message = error_of([&] { atomic_write(path, std::string(5000, 'x')); }, ExitCode::runtime);
  }
  CHECK(message == "cannot write " + path + ": File too large; the file is as it was before");
  CHECK(folder.read("f") == "old");
  CHECK(!fs::exists(path + ".tmp"));
  CHECK(error_of([] { AppendFile("/dev/full").append("x"); }, ExitCode::runtime) ==
        "cannot write /dev/full: No space left on device");
}

TEST_CASE("files: a folder that is not there or in the way is named") {
  const TempFolder folder;
  CHECK(error_of([&] { atomic_write(folder / "no/f", "x"); }, ExitCode::runtime) ==
        "cannot write " + (folder / "no/f") + ": No such file or directory");
  fs::create_directory(folder / "d");
  CHECK(error_of([&] { atomic_write(folder / "d", "x"); }, ExitCode::runtime) ==
        "cannot replace " + (folder / "d") + ": Is a directory; the file is as it was before");
  CHECK(!fs::exists(folder / "d.tmp"));
}

TEST_CASE("metrics: both files hold every event with every digit") {
  const TempFolder folder;
  {
    Metrics metrics(folder / "m.csv", folder / "m.jsonl");
    metrics.add(TrainEvent{10, 0.1, 0.1 + 0.2, 1e-5, std::nan(""), 1.0 / 3, 0});
    CHECK(lines_of(folder.read("m.csv")).size() == 2);  // there when the call returns
  }
  Metrics(folder / "m.csv", folder / "m.jsonl").add(EvalEvent{20, 1, 1.25, 0.5, INFINITY});
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
  Metrics(folder / "m.csv", folder / "m.jsonl").add(EvalEvent{4, 2, 1.5, 0.5, 0.9});
  CHECK(folder.read("m.csv") == csv);
  CHECK(folder.read("m.jsonl") == json);
  truncate_metrics_after(folder / "no.csv", folder / "no.jsonl", 1, true);
  CHECK(!fs::exists(folder / "no.csv"));
}

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

TEST_CASE("run folder: a new run gets a name of its own, and runs/latest points to it") {
  const TempFolder folder;
  InFolder inside(folder.path);
  setenv("TZ", "UTC", 1);
  tzset();
  const std::time_t now = 1700000000;  // 2023-11-14 22:13:20 UTC
  CHECK(create_run_folder("", "cifar10", now).dir == "runs/cifar10-20231114-221320");
  CHECK(create_run_folder("", "cifar10", now).dir == "runs/cifar10-20231114-221320-2");
  const RunFolder run = create_run_folder("", "cifar10", now);
  CHECK(run.dir == "runs/cifar10-20231114-221320-3");
  CHECK(run.checkpoints == run.dir + "/checkpoints");
  CHECK(fs::is_directory(run.checkpoints));
  CHECK(fs::read_symlink("runs/latest") == "cifar10-20231114-221320-3");
  CHECK(create_run_folder("runs/mine/", "cifar10", now).dir == "runs/mine");
  CHECK(fs::read_symlink("runs/latest") == "mine");
  create_run_folder("elsewhere/mine", "cifar10", now);
  CHECK(!fs::exists("elsewhere/latest"));
  CHECK(fs::read_symlink("runs/latest") == "mine");
}

TEST_CASE("run folder: a folder that holds a run is refused for a new one, and found for an old one") {
  const TempFolder folder;
  InFolder inside(folder.path);
  const RunFolder run = create_run_folder("runs/a", "x");
  CHECK(error_of([] { create_run_folder("runs/a", "x"); }, ExitCode::usage) ==
        "run.dir = \"runs/a\" already holds a run; continue it with --resume runs/a, or name another folder");
  CHECK(error_of([] { open_run_folder("runs/a"); }, ExitCode::usage) ==
        "runs/a is not the folder of a run: it has no config.toml");
  CHECK(error_of([] { open_run_folder("runs/b"); }, ExitCode::usage) ==
        "cannot open the run runs/b: No such file or directory");
  atomic_write(run.config, "");
  CHECK(fs::path(open_run_folder("runs/latest").dir) == fs::canonical("runs/a"));
  folder.write("file", "");
  CHECK(error_of([] { create_run_folder("file/x", "x"); }, ExitCode::runtime).find("cannot create the folder file/x") ==
        0);
}

TEST_CASE("run folder: a latest that cannot be replaced does not stop a run") {
  const TempFolder folder;
  InFolder inside(folder.path);
  fs::create_directories("runs/latest/in the way");
  CHECK(create_run_folder("runs/a", "x").dir == "runs/a");
  CHECK(fs::is_directory("runs/latest/in the way"));
  CHECK(!fs::is_symlink("runs/a.latest"));
}
