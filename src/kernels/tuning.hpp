// Which variant of its row each step of a plan takes (Row::variants), by timing them once on scratch memory and
// remembering the outcome in the user's cache. Variants give the same bits and fit into the same workspace: a choice
// that comes late, is out of date or was lost costs time, and nothing else depends on it.
#pragma once
#include <map>
#include <string>

#include "core/plan.hpp"
#include "kernels/choice_file.hpp"

namespace rt {

class Tuner {
 public:
  explicit Tuner(const std::string& cache_file = default_cache_file());  // "": remembers for as long as it lives

  // Chooses for every step of the plan. What neither memory nor the file knows is timed, the most work first, on random
  // numbers in `scratch`, whose contents are lost; what `seconds` do not suffice for keeps its usual variant until the
  // next time.
  void tune(Plan& plan, Arena& scratch, double seconds = 2);
  double timing_ms() const { return timing_ms_; }  // spent on it so far

  static std::string default_cache_file();
  // A line of the file without its value: CPU, threads, build, row, kind, and the specs of what the step reads and
  // writes.
  static std::string key_of(const Step& step, const Problem& problem);

 private:
  ChoiceFile file_;
  double timing_ms_ = 0;
};

}  // namespace rt
