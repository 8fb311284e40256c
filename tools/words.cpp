#include "tools/words.hpp"

#include "core/check.hpp"

namespace rt {

Words split_words(const std::vector<std::string>& words) {
  Words split;
  for (const std::string& word : words)
    (word.find('=') == std::string::npos ? split.names : split.settings).push_back(word);
  return split;
}

std::string one_data_folder(const std::vector<std::string>& names) {
  if (names.size() > 1)
    fail(ExitCode::usage, "two data folders, '{}' and '{}': name one; settings are written key=value", names[0],
         names[1]);
  return names.empty() ? "" : names[0];
}

}  // namespace rt
