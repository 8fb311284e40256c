#include "bench/child.hpp"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <memory>

namespace rt {
namespace {

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

// Files take any amount without a reader, so neither stream can block the child.
File temporary_file() {
  File file(std::tmpfile(), std::fclose);
  if (!file) fail(ExitCode::runtime, "no temporary file for a benchmark's output: {}", std::strerror(errno));
  return file;
}

std::string contents(std::FILE* file) {
  std::string text;
  std::rewind(file);
  char part[4096];
  for (size_t n; (n = std::fread(part, 1, sizeof part, file)) > 0;) text.append(part, n);
  return text;
}

std::string last_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  text.erase(0, text.rfind('\n') + 1);
  if (text.starts_with("error: ")) text.erase(0, std::strlen("error: "));
  return text;
}

}  // namespace

ChildResult run_self(const std::vector<std::string>& words) {
  std::vector<std::string> storage{"rbench"};
  storage.insert(storage.end(), words.begin(), words.end());
  std::vector<char*> argv;
  for (std::string& word : storage) argv.push_back(word.data());
  argv.push_back(nullptr);

  const File out = temporary_file(), errors = temporary_file();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, fileno(out.get()), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, fileno(errors.get()), STDERR_FILENO);
  pid_t child = 0;
  const int problem = posix_spawn(&child, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (problem != 0) fail(ExitCode::runtime, "a benchmark's process did not start: {}", std::strerror(problem));
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) fail(ExitCode::runtime, "a benchmark's process is lost: {}", std::strerror(errno));
  ChildResult result{.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
                     .output = contents(out.get()),
                     .reason = last_line(contents(errors.get()))};
  if (result.reason.empty() && result.exit_code != 0) result.reason = rt::format("exit code {}", result.exit_code);
  return result;
}

std::vector<std::string> step_words(const WorkloadOptions& w, int repeat, int steps, bool within_rtrain) {
  std::vector<std::string> words;
  if (within_rtrain) words.push_back("bench");
  words.insert(words.end(), {"step", "--json", "--stem", w.stem, "--arch", w.arch, "--device", w.device});
  auto number = [&](const char* name, int value) { words.insert(words.end(), {name, std::to_string(value)}); };
  number("--batch", w.batch);
  number("--side", w.side);
  number("--threads", w.threads);
  number("--prefetch", w.prefetch);
  number("--repeat", repeat);
  number("--steps", steps);
  if (w.workers >= 0) number("--workers", w.workers);
  words.insert(words.end(), {"--precision", w.precision});
  words.insert(words.end(), w.settings.begin(), w.settings.end());
  return words;
}

}  // namespace rt
