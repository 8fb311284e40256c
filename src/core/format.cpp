#define FMT_HEADER_ONLY 1
#include "core/format.hpp"

#include <fmt/format.h>

namespace rt {

std::string vformat(fmt::string_view format, fmt::format_args arguments) { return fmt::vformat(format, arguments); }
void vprint(fmt::string_view format, fmt::format_args arguments) { fmt::vprint(format, arguments); }

}  // namespace rt
