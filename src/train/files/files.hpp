// Files that survive a crash. A file is replaced as a whole: written beside its place, synced, renamed, the folder
// synced; whatever happens in between, the path holds the old bytes or the new ones.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

#include "core/check.hpp"

namespace rt {

// Writes PATH.tmp and renames it in commit(); without a commit the destructor removes it. The name is locked (flock),
// and a second writer of the same path takes PATH.2.tmp, so that the last commit wins and no file is a mixture. What a
// killed process left behind is not locked, and is overwritten by the next write rather than piling up. Errors are
// ExitCode::runtime and name the path; the old file is then as it was.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t bytes);
  void commit();

 private:
  bool take(const std::string& temporary);
  [[noreturn]] void give_up(const char* what);

  std::string path_, temporary_;
  int fd_ = -1;
};

void atomic_write(const std::string& path, std::string_view bytes);

// A file that grows by whole records: each append is one write, in the file when the call returns.
class AppendFile {
 public:
  explicit AppendFile(const std::string& path);  // created if it is not there
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  void append(std::string_view record);
  bool empty() const;

 private:
  std::string path_;
  int fd_;
};

void sync_folder(const std::string& folder);

// Throws Error(code) if the file cannot be read, is not a regular file or is larger than max_bytes.
std::string read_whole_file(const std::string& path, size_t max_bytes, ExitCode code);

}  // namespace rt
