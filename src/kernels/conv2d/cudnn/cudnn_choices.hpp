// Which algorithm computes each convolution, remembered across processes as lines of text: a user's cache saves timing
// them again, and the file in a run's folder makes a resumed run compute with the very same ones. Knows nothing of
// cuDNN itself, so every program has it; conv2d_cudnn.cpp chooses.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "kernels/choice_file.hpp"
#include "kernels/conv2d/cudnn/cudnn.hpp"

namespace rt::cudnn {

struct Options {
  bool deterministic = true;  // only algorithms that give the same bits every time
  std::string cache_file;     // "": none
  std::string run_file;       // "": none; wins over the cache, and gets every choice of this process
};
// Before the first plan is made, since what is admitted decides how large workspaces are.
void configure(const Options& options);
std::string default_cache_file();  // below $XDG_CACHE_HOME or ~/.cache; "" where neither is set

// A file of choices: per line device, cuDNN version, pass, shape, type, layout, what is admitted, algorithm;
// tab-separated.
extern const ChoiceFile::Format choice_format;

struct ConvChoices {
  bool deterministic = true;
  ChoiceFile cache, run;
  std::map<Convolution, Algorithm> settled;  // in this process
  // By the self-test, for every shape of a pass, type and layout: with the shape left out. They outlive configure().
  std::set<std::pair<Convolution, int>> refused;
  std::optional<Convolution> latest;  // that was computed, other than one with statistics
};
ConvChoices& choices();

bool is_refused(const Convolution& c, int algorithm);
// What computed the latest convolution computes none of its sort any more. Its name; nothing where there is no latest.
std::optional<std::string> refuse_latest();

// A line of the file without the algorithm.
std::string key_of(const Convolution& c, bool deterministic, const std::string& device, int version);
// "conv2d.dx [128,64,32,32] 3x3/1 pad 1 -> 64 f32 nchw", for people.
std::string describe(const Convolution& c);

}  // namespace rt::cudnn
