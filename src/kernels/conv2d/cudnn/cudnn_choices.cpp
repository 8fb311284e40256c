#include "kernels/conv2d/cudnn/cudnn_choices.hpp"

#include <algorithm>
#include <charconv>
#include <vector>

namespace rt::cudnn {
namespace {

constexpr const char* pass_names[] = {"forward", "dx", "dw", "forward.stats"};
const char* pass_of(const Convolution& c) { return pass_names[c.stats ? 3 : static_cast<size_t>(c.pass)]; }
// What was admitted. A choice made without the graph API's algorithms says nothing about one made with them.
constexpr const char* admitted_words[] = {"any", "deterministic", "any+graph", "deterministic+graph"};
const char* admitted_word(const Convolution& c, bool deterministic) {
  return admitted_words[(c.graph ? 2 : 0) + (deterministic ? 1 : 0)];
}

Convolution sort_of(Convolution c) {
  c.shape = {};
  return c;
}

std::string shape_text(const Conv2dShape& s) {
  return rt::format("[{},{},{},{}] {}x{}/{} pad {} -> {}", s.n, s.c, s.h, s.w, s.r, s.s, s.stride, s.pad, s.k);
}

bool is_number(std::string_view text, int& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value >= 0;
}

template <size_t n>
bool one_of(const std::string& word, const char* const (&words)[n]) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

bool is_choice(const std::vector<std::string>& fields) {
  int version = 0, algorithm = 0;
  return fields.size() == 8 && !fields[0].empty() && is_number(fields[1], version) && one_of(fields[2], pass_names) &&
         !fields[3].empty() && one_of(fields[4], {"f32", "f16", "bf16"}) && one_of(fields[5], {"nchw", "nhwc"}) &&
         one_of(fields[6], admitted_words) && is_number(fields[7], algorithm);
}

}  // namespace

const ChoiceFile::Format choice_format{"a choice of a convolution algorithm", is_choice};

ConvChoices& choices() {
  static ConvChoices c;
  return c;
}

void configure(const Options& options) {
  choices() = {options.deterministic,
               ChoiceFile(options.cache_file, choice_format),
               ChoiceFile(options.run_file, choice_format),
               {},
               std::move(choices().refused),
               {}};
}

bool is_refused(const Convolution& c, int algorithm) { return choices().refused.contains({sort_of(c), algorithm}); }

std::optional<std::string> refuse_latest() {
  ConvChoices& known = choices();
  const auto latest = known.latest ? known.settled.find(*known.latest) : known.settled.end();
  known.latest.reset();
  if (latest == known.settled.end()) return {};
  const auto [c, algorithm] = *latest;
  known.refused.insert({sort_of(c), algorithm.id});
  std::erase_if(known.settled, [](const auto& each) { return is_refused(each.first, each.second.id); });
  return algorithm.name;
}

std::string default_cache_file() { return user_cache_file("cudnn-algorithms.txt"); }

std::string key_of(const Convolution& c, bool deterministic, const std::string& device, int version) {
  return rt::format("{}\t{}\t{}\t{}\t{}\t{}\t{}", device, version, pass_of(c), shape_text(c.shape),
                    rt::name_of(c.dtype), rt::name_of(c.layout), admitted_word(c, deterministic));
}

std::string describe(const Convolution& c) {
  return rt::format("conv2d.{} {} {} {}", pass_of(c), shape_text(c.shape), rt::name_of(c.dtype), rt::name_of(c.layout));
}

}  // namespace rt::cudnn
