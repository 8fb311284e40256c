// Text from a format string, by fmt. Its machinery is compiled once, in format.cpp: called as fmt::format, a library of
// headers is compiled anew by every file that formats, for seconds each. (Say rt::format: std has one too.)
#pragma once
#include <fmt/core.h>

#include <string>
#include <string_view>

namespace rt {

std::string vformat(fmt::string_view format, fmt::format_args arguments);
void vprint(fmt::string_view format, fmt::format_args arguments);

template <class... A>
std::string format(fmt::format_string<A...> text, A&&... arguments) {
  return rt::vformat(text, fmt::make_format_args(arguments...));
}
template <class... A>
void print(fmt::format_string<A...> text, A&&... arguments) {  // on stdout
  rt::vprint(text, fmt::make_format_args(arguments...));
}

template <class Range>
std::string joined(const Range& range, std::string_view between) {
  std::string text;
  std::string_view before;
  for (const auto& item : range) {
    text += rt::format("{}{}", before, item);
    before = between;
  }
  return text;
}

}  // namespace rt
