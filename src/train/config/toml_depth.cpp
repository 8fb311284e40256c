#include "train/config/toml_depth.hpp"

#include <algorithm>
#include <string>

namespace rt {

int too_deep_line(std::string_view text, int max_depth) {
  int line = 1, brackets = 0, dots = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') ++line;
    if (c == '#') {
      i = std::min(text.find('\n', i), text.size()) - 1;
    } else if (c == '"' || c == '\'') {
      const std::string_view closing = text.substr(i, 3) == std::string(3, c) ? text.substr(i, 3) : text.substr(i, 1);
      for (i += closing.size(); i < text.size() && text.substr(i, closing.size()) != closing; ++i) {
        if (c == '"' && text[i] == '\\') ++i;
        if (i < text.size() && text[i] == '\n') {
          ++line;
          if (closing.size() == 1) break;  // not closed: the parser will say so
        }
      }
      if (i < text.size() && text[i] != '\n') i += closing.size() - 1;
      if (closing.size() == 3)  // up to two more quotes belong to the string
        for (int extra = 0; extra < 2 && i + 1 < text.size() && text[i + 1] == c; ++extra) ++i;
    } else if (c == '[' || c == '{') {
      ++brackets;
      dots = 0;
    } else if (c == ']' || c == '}') {
      --brackets;
      dots = 0;
    } else if (c == '=' || c == ',' || c == '\n') {
      dots = 0;
    } else if (c == '.') {
      ++dots;
    }
    if (brackets > max_depth || dots >= max_depth) return line;
  }
  return 0;
}

}  // namespace rt
