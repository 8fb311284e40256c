// A folder of a test's own, gone when the test ends.
#pragma once
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

struct TempFolder {
  std::filesystem::path path;
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "rtrain-test-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::filesystem::filesystem_error("mkdtemp", std::error_code());
    path = name;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  std::string operator/(const std::string& name) const { return (path / name).string(); }
  std::string write(const std::string& name, std::string_view bytes) const {  // in folders that it makes
    std::filesystem::create_directories((path / name).parent_path());
    std::ofstream(path / name, std::ios::binary) << bytes;
    return *this / name;
  }
  std::string read(const std::string& name) const {
    std::ifstream in(path / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
};

// User's caches lie in this folder for as long as it lives.
struct CacheFolder : TempFolder {
  CacheFolder() {
    if (const char* set = std::getenv("XDG_CACHE_HOME")) before_ = set;
    setenv("XDG_CACHE_HOME", path.c_str(), 1);
  }
  ~CacheFolder() { before_.empty() ? unsetenv("XDG_CACHE_HOME") : setenv("XDG_CACHE_HOME", before_.c_str(), 1); }

 private:
  std::string before_;
};

// The working folder is this one for as long as it lives.
struct InFolder {
  std::filesystem::path before = std::filesystem::current_path();
  explicit InFolder(const std::filesystem::path& path) { std::filesystem::current_path(path); }
  ~InFolder() { std::filesystem::current_path(before); }
};
