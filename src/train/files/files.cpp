#include "train/files/files.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

namespace rt {
namespace {

// Returns the number of bytes that went into the file; fewer than asked, with errno set, when it can take no more.
size_t write_fully(int fd, const char* data, size_t bytes) {
  size_t done = 0;
  while (done < bytes) {
    const ssize_t n = ::write(fd, data + done, bytes - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

bool has_name(int fd, const std::string& path) {
  struct stat open_file {};
  struct stat named {};
  return ::fstat(fd, &open_file) == 0 && ::stat(path.c_str(), &named) == 0 && open_file.st_dev == named.st_dev &&
         open_file.st_ino == named.st_ino;
}

}  // namespace

AtomicFile::AtomicFile(const std::string& path) : path_(path) {
  for (int n = 1; !take(n == 1 ? path + ".tmp" : rt::format("{}.{}.tmp", path, n)); ++n) {
  }
}

// Opens and locks a temporary file under this name. False: another writer holds it.
bool AtomicFile::take(const std::string& temporary) {
  constexpr int attempts = 100;  // there are file systems whose inode numbers say nothing
  for (int attempt = 1;; ++attempt) {
    const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) fail(ExitCode::runtime, "cannot write {}: {}", path_, std::strerror(errno));
    // Some file systems have no locks; there is nothing better to do on them than to go on.
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      ::close(fd);
      return false;
    }
    if (attempt == attempts || has_name(fd, temporary)) {
      fd_ = fd;
      temporary_ = temporary;
      if (::ftruncate(fd_, 0) != 0) give_up("write");
      return true;
    }
    ::close(fd);  // whoever held it renamed or removed it meanwhile
  }
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  ::unlink(temporary_.c_str());
  ::close(fd_);
}

void AtomicFile::give_up(const char* what) {
  const int error = errno;
  ::unlink(temporary_.c_str());
  ::close(std::exchange(fd_, -1));
  fail(ExitCode::runtime, "cannot {} {}: {}; the file is as it was before", what, path_, std::strerror(error));
}

void AtomicFile::write(const void* data, size_t bytes) {
  RT_CHECK(fd_ >= 0, "{} is written and closed", path_);
  if (write_fully(fd_, static_cast<const char*>(data), bytes) != bytes) give_up("write");
}

void AtomicFile::commit() {
  RT_CHECK(fd_ >= 0, "{} is written and closed", path_);
  if (::fsync(fd_) != 0) give_up("sync");
  // While the lock is held, or another writer would take the file over before it has its name.
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) give_up("replace");
  ::close(std::exchange(fd_, -1));  // it is synced: nothing can fail here any more
  sync_folder(std::filesystem::path(path_).parent_path().string());
}

void atomic_write(const std::string& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes.data(), bytes.size());
  file.commit();
}

AppendFile::AppendFile(const std::string& path) : path_(path) {
  fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd_ < 0) fail(ExitCode::runtime, "cannot write {}: {}", path_, std::strerror(errno));
}

AppendFile::~AppendFile() { ::close(fd_); }

void AppendFile::append(std::string_view record) {
  if (write_fully(fd_, record.data(), record.size()) != record.size())
    fail(ExitCode::runtime, "cannot write {}: {}", path_, std::strerror(errno));
}

bool AppendFile::empty() const {
  struct stat info {};
  return ::fstat(fd_, &info) == 0 && info.st_size == 0;
}

void sync_folder(const std::string& folder) {
  const std::string path = folder.empty() ? "." : folder;
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail(ExitCode::runtime, "cannot open the folder {}: {}", path, std::strerror(errno));
  // Some file systems cannot sync a folder and say EINVAL; there is nothing better to do on them.
  const bool synced = ::fsync(fd) == 0 || errno == EINVAL;
  const int error = errno;
  ::close(fd);
  if (!synced) fail(ExitCode::runtime, "cannot sync the folder {}: {}", path, std::strerror(error));
}

std::string read_whole_file(const std::string& path, size_t max_bytes, ExitCode code) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (error && status.type() != std::filesystem::file_type::not_found)
    fail(code, "cannot read {}: {}", path, error.message());
  if (!std::filesystem::exists(status)) fail(code, "cannot read {}: there is no such file", path);
  if (!std::filesystem::is_regular_file(status)) fail(code, "cannot read {}: it is not a regular file", path);
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail(code, "cannot read {}: {}", path, std::strerror(errno));
  std::string text;
  char chunk[65536];
  ssize_t n = 0;
  while ((n = ::read(fd, chunk, sizeof chunk)) != 0 && text.size() <= max_bytes) {
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;
    text.append(chunk, static_cast<size_t>(n));
  }
  const int read_error = errno;
  ::close(fd);
  if (n < 0) fail(code, "cannot read {}: {}", path, std::strerror(read_error));
  if (text.size() > max_bytes) fail(code, "{} is larger than {} bytes, the limit for such a file", path, max_bytes);
  return text;
}

}  // namespace rt
