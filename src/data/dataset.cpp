#include "data/dataset.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>

namespace rt {
namespace {

int64_t nanoseconds(const timespec& t) { return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec; }

}  // namespace

FileStamp stamp_of(const std::filesystem::path& folder, const std::filesystem::path& name) {
  const std::filesystem::path path = folder / name;
  struct stat status = {};
  if (::stat(path.c_str(), &status) != 0)
    fail(ExitCode::data, "'{}' cannot be read: {}", path.string(), std::strerror(errno));
  if (!S_ISREG(status.st_mode)) fail(ExitCode::data, "'{}' is not a regular file", path.string());
  return {.name = name.string(),
          .bytes = status.st_size,
          .mtime_ns = nanoseconds(status.st_mtim),
          .ctime_ns = nanoseconds(status.st_ctim)};
}

}  // namespace rt
