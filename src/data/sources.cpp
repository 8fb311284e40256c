// The table of sources, and what a user is told where none fits.
#include "data/sources.hpp"

#include <algorithm>
#include <system_error>

namespace rt {
namespace fs = std::filesystem;

Source cifar10_source();   // cifar.cpp
Source cifar100_source();  // cifar.cpp

std::span<const Source> sources() {
  static const std::vector<Source> table = {
      cifar10_source(),
      cifar100_source(),
  };
  return table;
}

namespace {

// "a", "a or b", "a, b or c".
std::string alternatives(std::span<const std::string_view> list) {
  if (list.size() < 2) return joined(list, "");
  return rt::format("{} or {}", joined(list.first(list.size() - 1), ", "), list.back());
}

struct Found {
  const Source* source;
  fs::path path;
};
std::vector<Found> recognised(const std::string& name, const fs::path& path) {
  std::vector<Found> found;
  for (const Source& source : sources()) {
    if (name != "auto" && name != source.name) continue;
    if (const fs::path at = source.recognise(path); !at.empty()) found.push_back({&source, at});
  }
  return found;
}

[[noreturn]] void ask_to_choose(const std::vector<Found>& found, const std::string& dir) {
  std::vector<std::string_view> titles;
  std::string choices;
  for (const Found& f : found) {
    titles.push_back(f.source->title);
    choices += rt::format("{}data.source={}", choices.empty() ? "" : " or ", f.source->name);
  }
  fail(ExitCode::data, "'{}' holds {} files; choose with {}", dir, joined(titles, " and "), choices);
}

bool is_archive(std::string_view name) {
  return name.ends_with(".tar.gz") || name.ends_with(".tgz") || name.ends_with(".tar");
}

// Why nothing at `path` was recognised as `source`, and what to do about it.
std::string explain(const std::string& source, const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error))
    return rt::format("'{}' is a file; give the folder that holds the data files (an archive has to be unpacked first)",
                      path.string());
  const std::vector<std::string> names = names_in(path);
  if (names.empty()) return rt::format("the data folder '{}' is empty", path.string());
  for (const auto& [other, at] : recognised("auto", path))
    return rt::format("data.source={}, but '{}' holds {} files; use data.source={} or auto", source, at.string(),
                      other->title, other->name);
  for (const Source& s : sources())
    if (std::string text = s.explain(path); !text.empty()) return text;
  for (const std::string& name : names)
    if (is_archive(name))
      return rt::format("'{0}' is not unpacked yet: tar -xf '{0}' -C '{1}'", (path / name).string(), path.string());
  const std::span<const std::string> few(names.data(), std::min<size_t>(names.size(), 4));
  return rt::format("'{}' is no folder of {}; it holds: {}{}", path.string(), source_help(), joined(few, ", "),
                    names.size() > 4 ? rt::format(" and {} more", names.size() - 4) : "");
}

}  // namespace

std::vector<std::string_view> source_names() {
  std::vector<std::string_view> names;
  for (const Source& source : sources()) names.push_back(source.name);
  return names;
}

std::string source_help() {
  std::vector<std::string_view> help;
  for (const Source& source : sources()) help.push_back(source.help);
  return alternatives(help);
}

std::vector<std::string> names_in(const fs::path& dir) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator it(dir, error), end; !error && it != end; it.increment(error))
    names.push_back(it->path().filename().string());
  if (error) fail(ExitCode::data, "'{}' cannot be listed: {}", dir.string(), error.message());
  std::sort(names.begin(), names.end());
  return names;
}

DatasetPair open_datasets(const std::string& source, const std::string& dir) {
  std::vector<std::string_view> allowed = source_names();
  allowed.insert(allowed.begin(), "auto");
  if (std::find(allowed.begin(), allowed.end(), source) == allowed.end())
    fail(ExitCode::usage, "data.source = \"{}\" is unknown; it can be {}", source, alternatives(allowed));
  std::error_code error;
  if (!fs::exists(dir, error))
    fail(ExitCode::data,
         "the data folder '{}' does not exist; give a folder of {}; "
         "`rtrain synth --out DIR` draws a set that needs no download",
         dir, source_help());
  const std::vector<Found> found = recognised(source, dir);
  if (found.empty()) fail(ExitCode::data, "{}", explain(source, dir));
  if (found.size() > 1) ask_to_choose(found, dir);
  DatasetPair pair = found[0].source->open(found[0].path);
  pair.source = found[0].source->name;
  return pair;
}

}  // namespace rt
