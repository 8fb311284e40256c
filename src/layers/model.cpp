#include "layers/model.hpp"

#include <algorithm>

#include "core/check.hpp"

namespace rt {

void Model::check_input(int64_t height, int64_t width) const {
  if (std::min(height, width) >= smallest_side_) return;
  fail(ExitCode::usage, "model.arch={} with model.stem={} takes images of {}x{} pixels and more, not {}x{}",
       config_.arch, config_.stem, smallest_side_, smallest_side_, height, width);
}

}  // namespace rt
