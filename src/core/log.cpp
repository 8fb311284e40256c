#include "core/log.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

namespace rt {
namespace {
struct State {
  std::mutex mutex;
  std::FILE* file = nullptr;
  std::string status;
};
State& state() {
  static State s;
  return s;
}
void clear_status(State& s) {
  if (!s.status.empty()) std::fputs("\r\033[K", stderr);
}
void draw_status(State& s) {
  if (s.status.empty()) return;
  winsize size{};
  size_t columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1u : 79u;
  std::string text = s.status.substr(0, columns);
  std::fputs(("\r" + text + "\033[K").c_str(), stderr);
}
}  // namespace

bool stderr_is_terminal() {
  static const bool yes = isatty(STDERR_FILENO) == 1;
  return yes;
}
bool color_allowed() {
  const char* no = std::getenv("NO_COLOR");
  return stderr_is_terminal() && (no == nullptr || *no == '\0');
}
void log_line(LogLevel level, std::string_view text) {
  constexpr const char* plain[] = {"", "", "warning: ", "error: "};
  constexpr const char* colored[] = {"", "", "\033[33mwarning:\033[0m ", "\033[31merror:\033[0m "};
  const size_t i = static_cast<size_t>(level);
  State& s = state();
  std::lock_guard lock(s.mutex);
  if (level != LogLevel::detail) {
    clear_status(s);
    std::fputs(((color_allowed() ? colored : plain)[i] + std::string(text) + "\n").c_str(), stderr);
    draw_status(s);
    std::fflush(stderr);
  }
  if (s.file != nullptr) {
    std::fputs((plain[i] + std::string(text) + "\n").c_str(), s.file);
    std::fflush(s.file);
  }
}
void log_to_file(const std::string& path) {
  int problem = 0;
  {
    State& s = state();
    std::lock_guard lock(s.mutex);
    if (s.file != nullptr) std::fclose(s.file);
    s.file = path.empty() ? nullptr : std::fopen(path.c_str(), "a");
    if (!path.empty() && s.file == nullptr) problem = errno;
  }
  if (problem != 0) log_warning("cannot write {}: {}; what is said stands here only", path, std::strerror(problem));
}
void log_status(std::string_view text) {
  if (!stderr_is_terminal()) return;
  State& s = state();
  std::lock_guard lock(s.mutex);
  if (text.empty()) clear_status(s);
  s.status = text;
  draw_status(s);
  std::fflush(stderr);
}

}  // namespace rt
