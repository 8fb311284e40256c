// The bodies of rtrain's verbs; tools/rtrain.cpp holds the command line. Each returns the process's exit code or throws
// Error.
#pragma once
#include <string>
#include <vector>

namespace rt {

// RUN or MODEL.safetensors on the evaluation images: loss, top-1, top-5.
int run_eval(const std::string& model, const std::vector<std::string>& overrides, bool json);
int run_config(const std::string& file, const std::vector<std::string>& overrides, bool origin);
int run_info(bool json);
int run_doctor();  // 4 where CUDA is in this build and cannot be used

}  // namespace rt
