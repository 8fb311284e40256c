// The kind of a step, and what its operands are called, as one text: "conv2d.backward.add: dy x w other -> dx dw".
// A row declares one, and asks for its operands by these names. An operand in brackets, as in
// "report: loss correct control [norm] -> report", may be missing at the end of its side; "x..." stands for any number.
// The text must outlive the kind: a literal does.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace rt {

class Kind {
 public:
  constexpr Kind() = default;
  constexpr Kind(const char* text) : Kind(std::string_view(text)) {}
  constexpr Kind(std::string_view text) : text_(text), name_(text.substr(0, text.find(':'))) {
    if (name_.size() == text.size()) return;
    const std::string_view operands = text.substr(name_.size() + 1);
    const size_t arrow = operands.find("->");
    in_ = operands.substr(0, arrow);
    if (arrow != std::string_view::npos) out_ = operands.substr(arrow + 2);
  }

  constexpr std::string_view name() const { return name_; }
  constexpr std::string_view text() const { return text_; }
  constexpr operator std::string_view() const { return name_; }

  // Where an operand stands among the inputs, or the outputs; -1 where there is none of that name.
  constexpr int input(std::string_view operand) const { return find(in_, operand); }
  constexpr int output(std::string_view operand) const { return find(out_, operand); }
  // Whether so many operands are what the text says. A kind without a text of operands takes any number.
  constexpr bool takes(size_t inputs, size_t outputs) const {
    return name_.size() == text_.size() || (fits(in_, inputs) && fits(out_, outputs));
  }

  friend constexpr bool operator==(const Kind& a, const Kind& b) { return a.name_ == b.name_; }
  friend constexpr bool operator==(const Kind& a, std::string_view b) { return a.name_ == b; }
  friend constexpr bool operator==(const Kind& a, const char* b) { return a.name_ == b; }

 private:
  // f(word, its number) for each word, until one gives true.
  template <class F>
  static constexpr void each(std::string_view words, F&& f) {
    int number = 0;
    for (size_t at = words.find_first_not_of(' '); at != std::string_view::npos; ++number) {
      const size_t end = std::min(words.find(' ', at), words.size());
      if (f(words.substr(at, end - at), number)) return;
      at = words.find_first_not_of(' ', end);
    }
  }
  static constexpr int find(std::string_view words, std::string_view operand) {
    int found = -1;
    each(words, [&](std::string_view word, int number) {
      if (word.starts_with('[')) word = word.substr(1, word.size() - 2);
      if (word == operand) found = number;
      return found >= 0;
    });
    return found;
  }
  static constexpr bool fits(std::string_view words, size_t count) {
    size_t least = 0, most = 0;
    each(words, [&](std::string_view word, int) {
      if (word.ends_with("...")) most = SIZE_MAX;
      if (most == SIZE_MAX) return true;
      least += word.starts_with('[') ? 0 : 1;
      most += 1;
      return false;
    });
    return count >= least && count <= most;
  }

  std::string_view text_, name_, in_, out_;
};

}  // namespace rt
