// Narration for people, on stderr (results go to stdout). A log line can be copied to a file (a run's log.txt).
// A progress line, when one is on the terminal, is cleared before a log line and drawn again after it.
#pragma once
#include <string>
#include <string_view>
#include <utility>

#include "core/format.hpp"

namespace rt {

enum class LogLevel { detail, info, warning, error };  // detail: for the file only

void log_line(LogLevel level, std::string_view text);  // thread-safe; appends a newline

template <class... A>
void log_detail(fmt::format_string<A...> format, A&&... args) {
  log_line(LogLevel::detail, rt::format(format, std::forward<A>(args)...));
}
template <class... A>
void log_info(fmt::format_string<A...> format, A&&... args) {
  log_line(LogLevel::info, rt::format(format, std::forward<A>(args)...));
}
template <class... A>
void log_error(fmt::format_string<A...> format, A&&... args) {
  log_line(LogLevel::error, rt::format(format, std::forward<A>(args)...));
}
template <class... A>
void log_warning(fmt::format_string<A...> format, A&&... args) {
  log_line(LogLevel::warning, rt::format(format, std::forward<A>(args)...));
}

// Appends every line to this file as well; "" stops. Warns where the file cannot be opened.
void log_to_file(const std::string& path);
bool stderr_is_terminal();
bool color_allowed();  // a terminal, and NO_COLOR is unset or empty

// One redrawn line at the bottom of the terminal. `text` replaces the line; "" removes it. Does nothing elsewhere.
void log_status(std::string_view text);

}  // namespace rt
