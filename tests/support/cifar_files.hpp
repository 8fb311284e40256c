// CIFAR binaries of a test's own, and what opening a folder of them says.
#pragma once
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "data/sources.hpp"

namespace rt::testing {

inline void write_file(const std::filesystem::path& path, const std::string& bytes) {  // in folders that it makes
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

// `count` records whose labels run through the classes and whose bytes follow from file, record and place.
inline std::string cifar_records(int count, int salt, int classes = 10, bool coarse = false) {
  std::string bytes;
  for (int i = 0; i < count; ++i) {
    if (coarse) bytes.push_back(static_cast<char>(i % 20));
    bytes.push_back(static_cast<char>((i + salt) % classes));
    for (int k = 0; k < 3072; ++k) bytes.push_back(static_cast<char>((i * 31 + k * 7 + salt) & 255));
  }
  return bytes;
}

// The message of the error that opening dir ends in; fails the test if there is none or it has another exit code.
inline std::string error_of_opening(const std::filesystem::path& dir, const std::string& source = "auto",
                                    ExitCode code = ExitCode::data) {
  try {
    open_datasets(source, dir.string());
  } catch (const Error& e) {
    CHECK(e.code() == code);
    return e.what();
  }
  FAIL("no error");
  return "";
}

inline void check_says(const std::string& said, std::initializer_list<std::string> words) {
  for (const std::string& word : words) {
    INFO("said: ", said);
    INFO("missing: ", word);
    CHECK(said.find(word) != std::string::npos);
  }
}

}  // namespace rt::testing
