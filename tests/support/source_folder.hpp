// The folder of rtrain's sources, which holds fixtures and recipes. RT_SOURCES names it where the tests were built
// elsewhere.
#pragma once
#include <cstdlib>
#include <filesystem>

inline std::filesystem::path source_folder() {
  const char* moved = std::getenv("RT_SOURCES");
  return moved ? moved : RT_SOURCES;
}
