// The configuration of a run: one plain struct that the code uses, and where each value came from.
// Precedence: default < file < command line. A value that is `auto` is a placeholder (0, "auto") until resolve_auto()
// has replaced it from the machine and the data; what it chose, and why, is kept as the value's origin. Keys, their
// ranges and their one-line help are in config_keys.cpp; every key is named after its member.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/device.hpp"
#include "kernels/update/optimizer.hpp"
#include "train/config/device_choice.hpp"
#include "train/config/switches.hpp"

namespace rt {

struct Config {
  std::string device = "auto";
  std::string precision = "auto";
  int threads = 0;  // auto
  std::string pin = "off";

  struct Run {
    std::string dir;  // empty: runs/<recipe>-<time>
    int64_t seed = 0;
  } run;
  struct Model {
    std::string arch = "resnet18";
    std::string stem = "auto";
    std::string weights;  // a safetensors file to start from; empty: fresh weights
  } model;
  struct Data {
    std::string source = "auto";
    std::string dir;
    int workers = 0;  // auto
    double val_fraction = 0;
  } data;
  struct Augment {
    bool enabled = true;
    int crop_padding = 4;
    bool flip = true;
  } augment;
  struct Train {
    int epochs = 30;
    int64_t steps = 0;  // updates; 0: by epochs
    int batch = 0;      // auto; images of a micro-batch
    int accumulate = 1;
    bool drop_last = true;
    double clip_norm = 0;  // 0: no clipping
    int64_t checkpoint_every = 0;
    int keep = 2;
    int64_t log_every = 10;
  } train;
  struct Eval {
    int every = 1;  // epochs
    std::string monitor = "top1";
    int batch = 0;  // auto
  } eval;
  struct Optimizer : OptimizerAttrs {
    std::string name = "sgd";
    double lr = 0;  // auto
    bool decay_bn_and_bias = false;
  } optimizer;
  struct Schedule {
    std::string name = "cosine";
    double warmup_epochs = 0;  // auto
    double min_lr = 0;
    double step_epochs = 10;
    std::vector<double> milestones;
    double gamma = 0.1;
    double power = 1;
    double pct_start = 0.3;
    double div_factor = 25;
    double final_div_factor = 1e4;
  } schedule;
  struct Loss {
    double label_smoothing = 0.1;
  } loss;
  Switches optimize;
};

struct Origin {
  std::string text = "default";  // "default", "FILE:LINE", "command line", "auto: REASON"
  bool automatic = false;        // still `auto`: resolve_auto() is to choose
};

struct LoadedConfig {
  Config config;
  std::map<std::string, Origin, std::less<>> origins;  // of every key
  std::string recipe = "default";                      // the file's name without folder and ending
};

// Reads a TOML file (path "": none), then applies overrides "key=value" in order. Strings may be given without quotes.
// Errors are ExitCode::usage and name FILE:LINE or the command line, the key, the value and what is allowed.
LoadedConfig load_config(const std::string& path, const std::vector<std::string>& overrides);

// The configuration a run folder holds, to continue the run: values and origins as saved, `auto` values as they were
// chosen, except threads, workers and device, which are chosen again for the machine at hand. An override that resume
// may not change is an error that names the key and both values.
LoadedConfig load_resumed_config(const std::string& path, const std::vector<std::string>& overrides);

struct RefusedChange {
  std::string key, before, after;  // values as TOML text
  std::string reason;
};
// What differs and may not when a run is continued. A key's OnResume (config_keys.hpp) says what may.
std::vector<RefusedChange> refused_on_resume(const Config& saved, const Config& wanted);

// What `auto` is decided from. A fact that is not known (0, empty) leaves the values that hang on it undecided.
struct AutoFacts {
  const Machine& machine;
  DeviceChoice device = {};
  std::string data_source = {};         // what data.dir holds, as data.source would say it
  std::string data_source_reason = {};  // "data_batch_1.bin in DIR"
  int64_t image_size = 0;               // larger side, pixels
  int64_t train_images = 0;             // without those set aside for validation
  // What a training step takes, and an evaluation step. Called after model.* and precision are decided.
  std::function<int64_t(int batch)> plan_bytes = {};
  std::function<int64_t(int batch)> eval_bytes = {};
  int64_t data_bytes = 0;  // all images take so much, a byte a number
};
// Replaces every value that is `auto`. ExitCode::device if the batch, or not even a batch of one image, fits into
// memory; ExitCode::usage for what the device cannot do.
void resolve_auto(LoadedConfig& loaded, const AutoFacts& facts);

// The configuration as TOML, each origin as a trailing comment. Loading it gives the same values.
std::string to_toml(const LoadedConfig& loaded);

// A line per key: its value, and its origin or else its help.
std::string config_table(const LoadedConfig& loaded, bool with_origin);

}  // namespace rt
