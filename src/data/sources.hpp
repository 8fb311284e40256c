// What a data set can be made of. The table in sources.cpp is the only list of formats: settings, messages and
// recognition ask it. A new one is a file that defines its Source, and its place in that table.
#pragma once
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.hpp"

namespace rt {

struct Source {
  std::string_view name;   // as data.source says it: "cifar10"
  std::string_view title;  // in messages: "CIFAR-10"
  std::string_view help;   // what a folder has to hold, after "a folder of": "CIFAR-100 binaries (train.bin)"

  // Returns where the set lies: at `path` or in a folder below it, or nothing. It looks at names and opens no file.
  std::filesystem::path (*recognise)(const std::filesystem::path& path);
  // Checks and opens what recognise() found. Throws Error(data) with the file, what it has and should have.
  DatasetPair (*open)(const std::filesystem::path& found);
  // Explains a folder in which no source is at home, in one sentence: what looks like this source, and what to do about
  // it. Empty where nothing does.
  std::string (*explain)(const std::filesystem::path& dir);
};

std::span<const Source> sources();
std::vector<std::string_view> source_names();
std::string source_help();  // of all: "CIFAR-10 binaries (...) or CIFAR-100 binaries (train.bin)"

// source: the name of one, or "auto" (recognise what is there). dir: the folder with the files, or one above it.
// Throws Error(usage) for an unknown source, Error(data) for anything wrong with the folder.
DatasetPair open_datasets(const std::string& source, const std::string& dir);

// For sources: the sorted names in a folder; Error(data) if it cannot be listed.
std::vector<std::string> names_in(const std::filesystem::path& dir);

}  // namespace rt
