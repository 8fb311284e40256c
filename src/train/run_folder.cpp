#include "train/run_folder.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "core/check.hpp"
#include "core/log.hpp"

namespace rt {
namespace fs = std::filesystem;
namespace {

constexpr const char* runs = "runs";

void make_folders(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail(ExitCode::runtime, "cannot create the folder {}: {}", path.string(), error.message());
}

// Finds a name that is free. mkdir tells who came first when two runs start in the same second.
std::string make_new_folder(const std::string& wanted) {
  for (int n = 1;; ++n) {
    const std::string dir = n == 1 ? wanted : rt::format("{}-{}", wanted, n);
    if (::mkdir(dir.c_str(), 0777) == 0) return dir;
    if (errno != EEXIST) fail(ExitCode::runtime, "cannot create the folder {}: {}", dir, std::strerror(errno));
  }
}

// The link is made beside its place and renamed, so that the name is never missing. A run does not fail for want of it.
void point_latest_to(const fs::path& dir) {
  const fs::path latest = dir.parent_path() / "latest", temporary = dir.string() + ".latest";
  std::error_code error;
  fs::create_directory_symlink(dir.filename(), temporary, error);
  if (!error) fs::rename(temporary, latest, error);
  if (!error) return;
  log_warning("{} does not point to this run: {}", latest.string(), error.message());
  fs::remove(temporary, error);
}

// The folder belongs to the run that makes its folder of checkpoints: only one can, also when several start at once.
void claim(const RunFolder& run) {
  std::error_code error;
  const bool made = !fs::exists(run.config) && fs::create_directory(run.checkpoints, error);
  if (error) fail(ExitCode::runtime, "cannot create the folder {}: {}", run.checkpoints, error.message());
  if (!made)
    fail(ExitCode::usage, "run.dir = \"{}\" already holds a run; continue it with --resume {}, or name another folder",
         run.dir, run.dir);
}

}  // namespace

RunFolder::RunFolder(const std::string& folder)
    : dir(folder),
      config(folder + "/config.toml"),
      metrics_csv(folder + "/metrics.csv"),
      metrics_jsonl(folder + "/metrics.jsonl"),
      log(folder + "/log.txt"),
      data(folder + "/data.json"),
      last(folder + "/last.safetensors"),
      best(folder + "/best.safetensors"),
      checkpoints(folder + "/checkpoints") {}

RunFolder create_run_folder(const std::string& run_dir, const std::string& recipe, std::time_t now) {
  std::string dir = run_dir;
  while (dir.size() > 1 && dir.back() == '/') dir.pop_back();
  if (dir.empty()) {
    std::tm local{};
    localtime_r(&now, &local);
    char time[32];
    std::strftime(time, sizeof time, "%Y%m%d-%H%M%S", &local);
    make_folders(runs);
    dir = make_new_folder(rt::format("{}/{}-{}", runs, recipe, time));
  }
  const RunFolder run(dir);
  make_folders(dir);
  claim(run);
  if (fs::path(dir).parent_path().filename() == runs) point_latest_to(dir);
  return run;
}

RunFolder open_run_folder(const std::string& run_dir) {
  std::error_code error;
  const fs::path dir = fs::canonical(run_dir, error);
  if (error) fail(ExitCode::usage, "cannot open the run {}: {}", run_dir, error.message());
  const RunFolder run(dir.string());
  if (!fs::exists(run.config)) fail(ExitCode::usage, "{} is not the folder of a run: it has no config.toml", run_dir);
  return run;
}

}  // namespace rt
