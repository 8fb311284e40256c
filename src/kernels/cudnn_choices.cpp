#include "kernels/cudnn_choices.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "core/log.hpp"

namespace rt::cudnn {
namespace {

namespace fs = std::filesystem;

constexpr const char* pass_names[] = {"forward", "dx", "dw"};
const char* name_of(Pass pass) { return pass_names[static_cast<size_t>(pass)]; }
// What was admitted. A choice made without the graph API's algorithms says nothing about one made with them.
constexpr const char* admitted_words[] = {"any", "deterministic", "any+graph", "deterministic+graph"};
const char* admitted_word(const Convolution& c, bool deterministic) {
  return admitted_words[(c.graph ? 2 : 0) + (deterministic ? 1 : 0)];
}

std::string shape_text(const Conv2dShape& s) {
  return fmt::format("[{},{},{},{}] {}x{}/{} pad {} -> {}", s.n, s.c, s.h, s.w, s.r, s.s, s.stride, s.pad, s.k);
}

bool is_number(std::string_view text, int& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value >= 0;
}

template <size_t n>
bool one_of(const std::string& word, const char* const (&words)[n]) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

struct Line {
  std::string key;
  int algorithm;
};
std::optional<Line> parse(const std::string& line) {
  std::vector<std::string> fields;
  std::istringstream in(line);
  for (std::string field; std::getline(in, field, '\t');) fields.push_back(field);
  int version = 0, algorithm = 0;
  if (fields.size() != 8 || fields[0].empty() || !is_number(fields[1], version) || !one_of(fields[2], pass_names) ||
      fields[3].empty() || !one_of(fields[4], {"f32", "f16", "bf16"}) || !one_of(fields[5], {"nchw", "nhwc"}) ||
      !one_of(fields[6], admitted_words) || !is_number(fields[7], algorithm))
    return {};
  return Line{line.substr(0, line.rfind('\t')), algorithm};
}

}  // namespace

ChoiceFile::ChoiceFile(std::string path) : path_(std::move(path)) {
  std::error_code ignored;
  if (path_.empty() || !fs::exists(path_, ignored)) return;
  std::ifstream file(path_, std::ios::binary);
  if (!file) log_warning("{}: cannot be read; convolution algorithms are timed again", path_);
  std::istringstream all(std::string(std::istreambuf_iterator<char>(file), {}));
  int number = 0;
  for (std::string line; std::getline(all, line);) {
    ++number;
    torn_ = all.eof();  // a process was killed while it wrote this line
    if (line.empty()) continue;
    if (const auto parsed = torn_ ? std::nullopt : parse(line))
      lines_[parsed->key] = parsed->algorithm;
    else
      log_warning("{} line {}: not a choice of a convolution algorithm, skipped", path_, number);
  }
}

std::optional<int> ChoiceFile::find(const std::string& key) const {
  const auto it = lines_.find(key);
  return it == lines_.end() ? std::nullopt : std::optional(it->second);
}

void ChoiceFile::remember(const std::string& key, int algorithm) {
  if (find(key) == algorithm) return;
  lines_[key] = algorithm;
  if (!path_.empty()) append(fmt::format("{}{}\t{}\n", std::exchange(torn_, false) ? "\n" : "", key, algorithm));
}

void ChoiceFile::append(const std::string& line) {
  std::error_code ignored;
  fs::create_directories(fs::path(path_).parent_path(), ignored);
  std::ofstream out(path_,
                    std::ios::binary | std::ios::app);  // one write: processes that share a cache keep lines whole
  out << line << std::flush;
  if (!out) {
    log_warning("{}: cannot be written; convolution algorithms chosen from here on are not remembered there", path_);
    path_.clear();
  }
}

ConvChoices& choices() {
  static ConvChoices c;
  return c;
}

void configure(const Options& options) {
  choices() = {options.deterministic, ChoiceFile(options.cache_file), ChoiceFile(options.run_file), {}};
}

std::string default_cache_file() {
  const char *cache = std::getenv("XDG_CACHE_HOME"), *home = std::getenv("HOME");
  fs::path folder;
  if (cache && *cache)
    folder = cache;
  else if (home && *home)
    folder = fs::path(home) / ".cache";
  else
    return "";
  return (folder / "rtrain" / "cudnn-algorithms.txt").string();
}

std::string key_of(const Convolution& c, bool deterministic, const std::string& device, int version) {
  return fmt::format("{}\t{}\t{}\t{}\t{}\t{}\t{}", device, version, name_of(c.pass), shape_text(c.shape),
                     rt::name_of(c.dtype), rt::name_of(c.layout), admitted_word(c, deterministic));
}

std::string describe(const Convolution& c) {
  return fmt::format("conv2d.{} {} {} {}", name_of(c.pass), shape_text(c.shape), rt::name_of(c.dtype),
                     rt::name_of(c.layout));
}

}  // namespace rt::cudnn
