// What was once found out, by timing or by a test, remembered across processes as lines of text: key and value,
// tab-separated fields of which the last is the value.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rt {

// The later of two lines of one key wins. Lines that are no choices are skipped with a warning; a file that cannot be
// written is warned of once. Keys that nobody asks for (other machines, other builds) are kept and left alone.
class ChoiceFile {
 public:
  struct Format {
    std::string_view what;  // "a choice of ..."
    bool (*is_choice)(const std::vector<std::string>& fields);
  };
  ChoiceFile() = default;                              // remembers nothing beyond the process
  ChoiceFile(std::string path, const Format& format);  // reads it; no file is an empty one, and "" none at all
  std::optional<std::string> find(const std::string& key) const;
  void remember(const std::string& key, const std::string& value);  // appended and flushed, unless it says so already
  const std::string& path() const { return path_; }                 // "" where nothing is written (any more)

 private:
  void append(const std::string& line);
  std::string path_;
  std::string_view what_;
  std::map<std::string, std::string> lines_;
  bool torn_ = false;  // the last line has no end
};

// NAME below $XDG_CACHE_HOME/rtrain or ~/.cache/rtrain; "" where neither is set.
std::string user_cache_file(std::string_view name);

}  // namespace rt
