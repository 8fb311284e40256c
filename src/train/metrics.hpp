// The metrics of a run, an event a line, in two files that hold the same: metrics.jsonl for programs, metrics.csv for
// spreadsheets. Numbers are the shortest text that reads back to the same bits; what is not a number is null in JSON
// and "nan" in CSV. An event is in both files when the call returns.
#pragma once
#include <cstdint>
#include <string>

#include "train/files/files.hpp"

namespace rt {

struct TrainEvent {
  int64_t step;  // updates done
  double epoch;  // passes over the data done, with a fraction
  double loss, lr, grad_norm;
  double images_per_s, data_wait_ms;
};

struct EvalEvent {
  int64_t step;  // updates done
  double epoch;
  double loss, top1, top5;  // fractions
};

class Metrics {
 public:
  Metrics(const std::string& csv_path, const std::string& jsonl_path);  // continues files that are there
  void add(const TrainEvent& event);
  void add(const EvalEvent& event);

 private:
  AppendFile csv_, jsonl_;
};

// Cuts both files back to a checkpoint, so that a resumed run writes every line once: drops what happened after `step`,
// and a line that a killed process left half-written. Evaluations of that very step stay if the checkpoint was written
// after them (evaluated), and go if the resumed run will make them again. Files that are not there stay away.
void truncate_metrics_after(const std::string& csv_path, const std::string& jsonl_path, int64_t step, bool evaluated);

}  // namespace rt
