#include "kernels/choice_file.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "core/log.hpp"

namespace rt {

namespace fs = std::filesystem;

namespace {
constexpr uintmax_t most_bytes = 16 << 20;
}

ChoiceFile::ChoiceFile(std::string path, const Format& format) : path_(std::move(path)), what_(format.what) {
  std::error_code ignored;
  if (path_.empty() || !fs::exists(path_, ignored)) return;
  std::ifstream file(path_, std::ios::binary);
  // Reading a folder as a file would throw, and what grew beyond all use would take long.
  if (!file || !fs::is_regular_file(path_, ignored) || fs::file_size(path_, ignored) > most_bytes) {
    log_warning("{}: cannot be read, or is larger than {} MiB; {} is made again", path_, most_bytes >> 20, what_);
    return;
  }
  std::istringstream all(std::string(std::istreambuf_iterator<char>(file), {}));
  int number = 0, first_bad = 0, bad = 0;
  for (std::string line; std::getline(all, line);) {
    ++number;
    torn_ = all.eof();  // a process was killed while it wrote this line
    if (line.empty()) continue;
    std::vector<std::string> fields;
    std::istringstream in(line);
    for (std::string field; std::getline(in, field, '\t');) fields.push_back(field);
    if (!torn_ && fields.size() > 1 && format.is_choice(fields))
      lines_[line.substr(0, line.rfind('\t'))] = fields.back();
    else if (bad++ == 0)
      first_bad = number;
  }
  if (bad == 1) log_warning("{} line {}: not {}, skipped", path_, first_bad, what_);
  if (bad > 1)
    log_warning("{}: {} lines, the first of them line {}, are not {}, skipped", path_, bad, first_bad, what_);
}

std::optional<std::string> ChoiceFile::find(const std::string& key) const {
  const auto it = lines_.find(key);
  return it == lines_.end() ? std::nullopt : std::optional(it->second);
}

void ChoiceFile::remember(const std::string& key, const std::string& value) {
  if (find(key) == value) return;
  lines_[key] = value;
  if (!path_.empty()) append(rt::format("{}{}\t{}\n", std::exchange(torn_, false) ? "\n" : "", key, value));
}

void ChoiceFile::append(const std::string& line) {
  std::error_code ignored;
  fs::create_directories(fs::path(path_).parent_path(), ignored);
  // One write: processes that share a cache keep lines whole.
  std::ofstream out(path_, std::ios::binary | std::ios::app);
  out << line << std::flush;
  if (!out) {
    log_warning("{}: cannot be written; {} made from here on is not remembered there", path_, what_);
    path_.clear();
  }
}

std::string user_cache_file(std::string_view name) {
  const char *cache = std::getenv("XDG_CACHE_HOME"), *home = std::getenv("HOME");
  fs::path folder;
  if (cache && *cache)
    folder = cache;
  else if (home && *home)
    folder = fs::path(home) / ".cache";
  else
    return "";
  return (folder / "rtrain" / name).string();
}

}  // namespace rt
