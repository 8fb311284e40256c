// Recognising a data folder, and the statistics of a set.
#include "data/dataset.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <system_error>

#include "core/check.hpp"
#include "data/cifar.hpp"

namespace rt {
namespace fs = std::filesystem;

DatasetPair open_datasets(const std::string& source, const std::string& dir) {
  if (source != "auto" && source != "cifar10" && source != "cifar100")
    fail(ExitCode::usage, "data.source = \"{}\" is unknown; it can be auto, cifar10 or cifar100", source);
  std::error_code error;
  const fs::file_status status = fs::status(dir, error);
  if (!fs::exists(status))
    fail(ExitCode::data,
         "the data folder '{}' does not exist; give a folder of CIFAR binaries (`tools/get_cifar10.sh DIR` fetches "
         "CIFAR-10, `rtrain synth --out DIR` draws a set that needs no download)",
         dir);
  if (!fs::is_directory(status))
    fail(ExitCode::data,
         "'{}' is a file; give the folder that holds the data files (an archive has to be unpacked first)", dir);

  const fs::path ten = source == "cifar100" ? fs::path() : find_cifar(CifarKind::cifar10, dir);
  const fs::path hundred = source == "cifar10" ? fs::path() : find_cifar(CifarKind::cifar100, dir);
  if (!ten.empty() && !hundred.empty())
    fail(ExitCode::data,
         "'{}' holds CIFAR-10 and CIFAR-100 files; choose with data.source=cifar10 or data.source=cifar100", dir);
  if (!ten.empty()) return read_cifar(CifarKind::cifar10, ten);
  if (!hundred.empty()) return read_cifar(CifarKind::cifar100, hundred);
  fail(ExitCode::data, "{}", explain_no_cifar(source, dir));
}

Normalisation channel_statistics(const Dataset& data) {
  const int64_t plane = static_cast<int64_t>(data.info().height) * data.info().width;
  uint64_t sum[3] = {}, squares[3] = {};
  for (int64_t i = 0; i < data.size(); ++i) {
    const uint8_t* pixel = data.pixels(i);
    for (int c = 0; c < 3; ++c) {
      uint64_t s = 0, q = 0;
      for (int64_t k = 0; k < plane; ++k, ++pixel) s += *pixel, q += static_cast<uint32_t>(*pixel) * *pixel;
      sum[c] += s, squares[c] += q;
    }
  }
  const double count = static_cast<double>(data.size() * plane);
  RT_CHECK(count > 0, "channel_statistics: the data set has no images");
  Normalisation result;
  for (int c = 0; c < 3; ++c) {
    const double total = static_cast<double>(sum[c]), mean = total / count;
    const double variance = std::max(0.0, (static_cast<double>(squares[c]) - total * mean) / count);
    result.mean[c] = static_cast<float>(mean / 255);
    result.std[c] = static_cast<float>(std::max(1.0, std::sqrt(variance)) / 255);
  }
  return result;
}

std::string checksum(const Dataset& data) {
  const size_t bytes =
      static_cast<size_t>(data.info().channels) * static_cast<size_t>(data.info().height * data.info().width);
  uint64_t hash = 0;  // of one image seeds the next
  for (int64_t i = 0; i < data.size(); ++i)
    hash = XXH3_64bits_withSeed(data.pixels(i), bytes, hash * 31 + static_cast<uint64_t>(data.label(i)));
  return rt::format("{:016x}", hash);
}

}  // namespace rt
