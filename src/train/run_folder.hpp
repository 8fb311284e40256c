// The folder of a run: its name, and where things lie in it.
#pragma once
#include <ctime>
#include <string>

namespace rt {

struct RunFolder {
  explicit RunFolder(const std::string& folder);

  std::string dir;
  std::string config;  // config.toml: the resolved configuration
  std::string metrics_csv, metrics_jsonl, log;
  std::string data;         // data.json: what is known of the training images (train/survey_file.hpp)
  std::string last, best;   // models, safetensors
  std::string checkpoints;  // a folder: everything needed to resume
};

// Makes the folder of a new run: run_dir if it is given, else runs/<recipe>-<YYYYmmdd-HHMMSS> (local time), with -2,
// -3, … if that is taken. runs/latest then points to it. Nothing is ever overwritten, and no two runs share a folder: a
// run_dir that already holds a run, or that another process takes at this moment, is an Error(usage) that says how to
// continue it.
RunFolder create_run_folder(const std::string& run_dir, const std::string& recipe,
                            std::time_t now = std::time(nullptr));

// An existing run, for resume and evaluation. A link (runs/latest) is followed now, so that a newer run does not move
// it. Throws Error(usage) if the folder holds no run.
RunFolder open_run_folder(const std::string& run_dir);

}  // namespace rt
