// Reading the CIFAR binary files. See cifar.hpp for the format.
#include "data/cifar.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>
#include <system_error>

#include "core/check.hpp"
#include "data/synth.hpp"

namespace rt {
namespace fs = std::filesystem;
namespace {

constexpr int64_t side = 32, image_bytes = 3 * side * side;
constexpr int64_t real_records = 10000;  // of each file of the real CIFAR-10

struct Format {
  const char* kind;
  const char* title;
  const char* subfolder;         // what the archive unpacks to
  const char* python_subfolder;  // what the archive of the pickled version unpacks to
  const char* archive;
  const char* names_file;
  const char* pickles[2];  // training and test file of the pickled version
  int label_bytes;         // the last one is the class
  int classes;
  const char* usual_names;
};
const Format formats[] = {
    {"cifar10",
     "CIFAR-10",
     "cifar-10-batches-bin",
     "cifar-10-batches-py",
     "cifar-10-binary.tar.gz",
     "batches.meta.txt",
     {"data_batch_1", "test_batch"},
     1,
     10,
     "airplane automobile bird cat deer dog frog horse ship truck"},
    {"cifar100",
     "CIFAR-100",
     "cifar-100-binary",
     "cifar-100-python",
     "cifar-100-binary.tar.gz",
     "fine_label_names.txt",
     {"train", "test"},
     2,
     100,
     "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can "
     "castle "
     "caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant "
     "flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man "
     "maple_tree "
     "motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain "
     "plate "
     "poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake "
     "spider "
     "squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle "
     "wardrobe whale willow_tree wolf woman worm"},
};
const Format& format_of(CifarKind kind) { return formats[static_cast<int>(kind)]; }

class CifarDataset final : public Dataset {
 public:
  CifarDataset(DatasetInfo info, int label_bytes, int64_t records)
      : info_(std::move(info)),
        label_bytes_(label_bytes),
        record_bytes_(label_bytes + image_bytes),
        records_(records),
        bytes_(std::make_unique_for_overwrite<uint8_t[]>(static_cast<size_t>(records * record_bytes_))) {}
  const DatasetInfo& info() const override { return info_; }
  int64_t size() const override { return records_; }
  int label(int64_t i) const override { return record(i)[label_bytes_ - 1]; }
  const uint8_t* pixels(int64_t i) const override { return record(i) + label_bytes_; }
  uint8_t* record(int64_t i) { return bytes_.get() + i * record_bytes_; }
  const uint8_t* record(int64_t i) const { return bytes_.get() + i * record_bytes_; }

 private:
  DatasetInfo info_;
  int64_t label_bytes_, record_bytes_, records_;
  std::unique_ptr<uint8_t[]> bytes_;
};

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

// 3 for "data_batch_3<ending>", 0 for any other name.
int batch_number(const std::string& name, const std::string& ending) {
  constexpr std::string_view start = "data_batch_";
  if (name.size() <= start.size() + ending.size() || !name.starts_with(start) || !name.ends_with(ending)) return 0;
  const char *first = name.data() + start.size(), *last = name.data() + name.size() - ending.size();
  int number = 0;
  const auto parsed = std::from_chars(first, last, number);
  return parsed.ec == std::errc() && parsed.ptr == last && *first != '0' && number > 0 ? number : 0;
}

std::vector<std::string> names_in(const fs::path& dir) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator it(dir, error), end; !error && it != end; it.increment(error))
    names.push_back(it->path().filename().string());
  if (error) fail(ExitCode::data, "'{}' cannot be listed: {}", dir.string(), error.message());
  std::sort(names.begin(), names.end());
  return names;
}

bool holds_binaries(CifarKind kind, const fs::path& dir) {
  for (const std::string& name : names_in(dir)) {
    if (kind == CifarKind::cifar10 && (name == "test_batch.bin" || batch_number(name, ".bin") > 0)) return true;
    if (kind == CifarKind::cifar100 && (name == "train.bin" || name == "test.bin")) return true;
  }
  return false;
}

// The training files in order. A batch that only the pickled version has counts as missing, not as the end of the list.
std::vector<fs::path> train_files(CifarKind kind, const fs::path& folder) {
  if (kind == CifarKind::cifar100) {
    if (!is_file(folder / "train.bin"))
      fail(ExitCode::data, "'{}' has test.bin but no train.bin: there is nothing to train on", folder.string());
    return {folder / "train.bin"};
  }
  int last = 1;
  for (const std::string& name : names_in(folder))
    last = std::max({last, batch_number(name, ".bin"), batch_number(name, "")});
  std::vector<fs::path> files;
  for (int n = 1; n <= last; ++n) {
    files.push_back(folder / rt::format("data_batch_{}.bin", n));
    if (is_file(files.back())) continue;
    if (is_file(folder / rt::format("data_batch_{}", n)))
      fail(ExitCode::data,
           "'{}' is missing, but data_batch_{} of the pickled python version is there; unpack cifar-10-binary.tar.gz "
           "into "
           "a folder of its own",
           files.back().string(), n);
    fail(ExitCode::data, "'{}' is missing{}; copy it, or unpack the archive again", files.back().string(),
         last > n ? rt::format(" although there are files up to data_batch_{}.bin", last) : "");
  }
  return files;
}

std::vector<std::string> usual_names(const Format& format) {
  std::vector<std::string> names;
  std::istringstream words(format.usual_names);
  for (std::string name; words >> name;) names.push_back(name);
  return names;
}

std::vector<std::string> class_names(const Format& format, const fs::path& folder) {
  const fs::path path = folder / format.names_file;
  if (!is_file(path)) return usual_names(format);
  std::vector<std::string> names;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    line.erase(line.find_last_not_of(" \t\r") + 1);  // the real file ends in an empty line, and Windows adds \r
    if (!line.empty()) names.push_back(line);
  }
  if (static_cast<int>(names.size()) != format.classes)
    fail(ExitCode::data, "'{}' lists {} class names, but {} has {}; correct it, or remove it to get the usual names",
         path.string(), names.size(), format.title, format.classes);
  return names;
}

int64_t count_records(const Format& format, const fs::path& path, bool real) {
  std::error_code error;
  const auto size = static_cast<int64_t>(fs::file_size(path, error));
  if (error) fail(ExitCode::data, "'{}' cannot be read: {}", path.string(), error.message());
  const int64_t record = format.label_bytes + image_bytes, records = size / record;
  if (size == 0) fail(ExitCode::data, "'{}' is empty (0 bytes); copy it, or unpack the archive again", path.string());
  if (size % record != 0)
    fail(ExitCode::data,
         "'{}' is truncated or not {} binary: {} bytes are {} records of {} bytes and {} bytes left over ({} records "
         "would "
         "be {} bytes); copy it, or unpack the archive again",
         path.string(), format.title, size, records, record, size % record, records + 1, (records + 1) * record);
  if (real && records != real_records)
    fail(ExitCode::data,
         "'{}' has {} records ({} bytes), the real CIFAR-10 has {} ({} bytes); copy it, or unpack the archive again (a "
         "set "
         "of your own needs its own class names in batches.meta.txt)",
         path.string(), records, size, real_records, real_records * record);
  return records;
}

void read_records(const Format& format, const fs::path& path, CifarDataset& data, int64_t first, int64_t count) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (!file) fail(ExitCode::data, "'{}' cannot be opened: {}", path.string(), std::strerror(errno));
  const auto bytes = static_cast<size_t>(data.record(first + count) - data.record(first));
  const size_t got = std::fread(data.record(first), 1, bytes, file.get());
  if (got != bytes)
    fail(ExitCode::data, "'{}' gave {} of its {} bytes: {}", path.string(), got, bytes,
         std::ferror(file.get()) ? std::strerror(errno) : "it became shorter while it was read");
  for (int64_t i = 0; i < count; ++i) {
    const uint8_t* labels = data.record(first + i);
    const bool coarse_bad = format.label_bytes == 2 && labels[0] >= 20;
    if (!coarse_bad && labels[format.label_bytes - 1] < format.classes) continue;
    fail(ExitCode::data,
         "'{}': record {} (counted from 0) has the {}label {}, allowed are 0 to {}; the file is damaged or not {} "
         "binary",
         path.string(), i, coarse_bad ? "coarse " : "", labels[coarse_bad ? 0 : format.label_bytes - 1],
         coarse_bad ? 19 : format.classes - 1, format.title);
  }
}

std::unique_ptr<Dataset> read_files(const Format& format, const DatasetInfo& info, const std::vector<fs::path>& files,
                                    bool real) {
  std::vector<int64_t> counts;
  int64_t total = 0;
  for (const fs::path& file : files) total += counts.emplace_back(count_records(format, file, real));
  if (total > UINT32_MAX)
    fail(ExitCode::data, "'{}' and its fellows hold {} images, 2^32-1 at most", files[0].string(), total);
  auto data = std::make_unique<CifarDataset>(info, format.label_bytes, total);
  int64_t first = 0;
  for (size_t i = 0; i < files.size(); first += counts[i++]) read_records(format, files[i], *data, first, counts[i]);
  return data;
}

}  // namespace

fs::path find_cifar(CifarKind kind, const fs::path& dir) {
  std::error_code error;
  for (const fs::path& folder : {dir, dir / format_of(kind).subfolder})
    if (fs::is_directory(folder, error) && holds_binaries(kind, folder)) return folder;
  return {};
}

DatasetPair read_cifar(CifarKind kind, const fs::path& folder) {
  const Format& format = format_of(kind);
  const std::vector<fs::path> files = train_files(kind, folder);
  DatasetInfo info{format.kind, format.classes, class_names(format, folder), 3, side, side};
  if (info.class_names == synthetic_class_names()) info.kind = "synthetic";
  const bool real = kind == CifarKind::cifar10 && files.size() == 5 && is_file(folder / format.names_file) &&
                    info.class_names == usual_names(format);
  const fs::path test = folder / (kind == CifarKind::cifar10 ? "test_batch.bin" : "test.bin");
  DatasetPair pair;
  pair.train = read_files(format, info, files, real);
  if (std::error_code error; fs::exists(test, error)) pair.test = read_files(format, info, {test}, real);
  return pair;
}

std::string explain_no_cifar(const std::string& source, const fs::path& dir) {
  const std::vector<std::string> names = names_in(dir);
  if (names.empty()) return rt::format("the data folder '{}' is empty", dir.string());
  for (CifarKind kind : {CifarKind::cifar10, CifarKind::cifar100}) {
    const Format& format = format_of(kind);
    if (const fs::path found = find_cifar(kind, dir); !found.empty())
      return rt::format("data.source={}, but '{}' holds {} files; use data.source={} or auto", source, found.string(),
                        format.title, format.kind);
    for (const fs::path& folder : {dir, dir / format.python_subfolder})
      for (const char* name : format.pickles)
        if (is_file(folder / name))
          return rt::format(
              "'{}' belongs to the pickled \"python version\" of {}; rtrain reads the binary version: unpack {} "
              "instead",
              (folder / name).string(), format.title, format.archive);
  }
  for (const std::string& name : names)
    if (name.ends_with(".tar.gz") || name.ends_with(".tgz") || name.ends_with(".tar"))
      return name.find("python") != std::string::npos
                 ? rt::format(
                       "'{}' is the pickled \"python version\"; rtrain reads the binary version, "
                       "cifar-10-binary.tar.gz or cifar-100-binary.tar.gz",
                       (dir / name).string())
                 : rt::format("'{}' is not unpacked yet: tar -xf '{}' -C '{}'", (dir / name).string(),
                              (dir / name).string(), dir.string());
  std::string held;
  for (size_t i = 0; i < std::min<size_t>(names.size(), 4); ++i) held += (i ? ", " : "") + names[i];
  return rt::format("'{}' holds neither data_batch_1.bin (CIFAR-10) nor train.bin (CIFAR-100), only: {}{}",
                    dir.string(), held, names.size() > 4 ? rt::format(" and {} more", names.size() - 4) : "");
}

}  // namespace rt
