// CIFAR-10 and CIFAR-100, binary version. Records without a header: the label (CIFAR-100: coarse, then fine), then the
// planes R, G, B of 32x32 bytes, row by row. A file may hold any whole number of records, because `rtrain synth` and
// people write the format too; the real CIFAR-10 (five batches, the usual class names in batches.meta.txt) must have
// its 10,000 records per file. A whole set is read into memory: 154 MB for the real ones.
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <system_error>

#include "data/sources.hpp"
#include "data/synth.hpp"

namespace rt {
namespace fs = std::filesystem;
namespace {

constexpr int64_t side = 32, image_bytes = 3 * side * side;
constexpr int64_t real_records = 10000;  // of each file of the real CIFAR-10

constexpr std::string_view names_of_10[] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                            "dog",      "frog",       "horse", "ship", "truck"};
constexpr std::string_view names_of_100[] = {
    "apple",      "aquarium_fish", "baby",         "bear",       "beaver",      "bed",         "bee",
    "beetle",     "bicycle",       "bottle",       "bowl",       "boy",         "bridge",      "bus",
    "butterfly",  "camel",         "can",          "castle",     "caterpillar", "cattle",      "chair",
    "chimpanzee", "clock",         "cloud",        "cockroach",  "couch",       "crab",        "crocodile",
    "cup",        "dinosaur",      "dolphin",      "elephant",   "flatfish",    "forest",      "fox",
    "girl",       "hamster",       "house",        "kangaroo",   "keyboard",    "lamp",        "lawn_mower",
    "leopard",    "lion",          "lizard",       "lobster",    "man",         "maple_tree",  "motorcycle",
    "mountain",   "mouse",         "mushroom",     "oak_tree",   "orange",      "orchid",      "otter",
    "palm_tree",  "pear",          "pickup_truck", "pine_tree",  "plain",       "plate",       "poppy",
    "porcupine",  "possum",        "rabbit",       "raccoon",    "ray",         "road",        "rocket",
    "rose",       "sea",           "seal",         "shark",      "shrew",       "skunk",       "skyscraper",
    "snail",      "snake",         "spider",       "squirrel",   "streetcar",   "sunflower",   "sweet_pepper",
    "table",      "tank",          "telephone",    "television", "tiger",       "tractor",     "train",
    "trout",      "tulip",         "turtle",       "wardrobe",   "whale",       "willow_tree", "wolf",
    "woman",      "worm"};

struct Variant {
  std::string_view name, title, help;
  std::string_view subfolder, archive;  // of the binary version
  std::string_view python_subfolder, python_archive;
  std::string_view pickles[2];  // training and test file of the python version
  std::string_view names_file, test_file;
  bool batches;     // the training files are data_batch_N.bin, else train.bin
  int label_bytes;  // the last one is the class
  std::span<const std::string_view> usual_names;

  int classes() const { return static_cast<int>(usual_names.size()); }
  int64_t record_bytes() const { return label_bytes + image_bytes; }
};
constexpr Variant cifar10 = {
    .name = "cifar10",
    .title = "CIFAR-10",
    .help = "CIFAR-10 binaries (data_batch_1.bin and so on; `tools/get_cifar10.sh DIR` fetches them)",
    .subfolder = "cifar-10-batches-bin",
    .archive = "cifar-10-binary.tar.gz",
    .python_subfolder = "cifar-10-batches-py",
    .python_archive = "cifar-10-python.tar.gz",
    .pickles = {"data_batch_1", "test_batch"},
    .names_file = "batches.meta.txt",
    .test_file = "test_batch.bin",
    .batches = true,
    .label_bytes = 1,
    .usual_names = names_of_10,
};
constexpr Variant cifar100 = {
    .name = "cifar100",
    .title = "CIFAR-100",
    .help = "CIFAR-100 binaries (train.bin)",
    .subfolder = "cifar-100-binary",
    .archive = "cifar-100-binary.tar.gz",
    .python_subfolder = "cifar-100-python",
    .python_archive = "cifar-100-python.tar.gz",
    .pickles = {"train", "test"},
    .names_file = "fine_label_names.txt",
    .test_file = "test.bin",
    .batches = false,
    .label_bytes = 2,
    .usual_names = names_of_100,
};

struct RecordFile {
  fs::path path;
  FileStamp stamp;
  int64_t first, count;  // records, numbered through all files
};

class CifarDataset final : public Dataset {
 public:
  CifarDataset(DatasetInfo info, int label_bytes, std::vector<RecordFile> files)
      : info_(std::move(info)),
        label_bytes_(label_bytes),
        record_bytes_(label_bytes + image_bytes),
        files_(std::move(files)),
        records_(files_.back().first + files_.back().count),
        bytes_(std::make_unique_for_overwrite<uint8_t[]>(static_cast<size_t>(records_ * record_bytes_))) {}

  const DatasetInfo& info() const override { return info_; }
  int64_t size() const override { return records_; }
  int label(int64_t i) const override { return record(i)[label_bytes_ - 1]; }
  std::string name(int64_t i) const override {
    const auto after = std::find_if(files_.begin(), files_.end(), [i](const RecordFile& f) { return f.first > i; });
    return rt::format("{}, record {}", std::prev(after)->stamp.name, i - std::prev(after)->first);
  }
  std::vector<FileStamp> files() const override {
    std::vector<FileStamp> stamps;
    for (const RecordFile& file : files_) stamps.push_back(file.stamp);
    return stamps;
  }
  void read(int64_t i, std::span<uint8_t> image) const override {
    std::memcpy(image.data(), record(i) + label_bytes_, static_cast<size_t>(image_bytes));
  }

  uint8_t* record(int64_t i) { return bytes_.get() + i * record_bytes_; }
  const uint8_t* record(int64_t i) const { return bytes_.get() + i * record_bytes_; }
  const std::vector<RecordFile>& record_files() const { return files_; }

 private:
  DatasetInfo info_;
  int64_t label_bytes_, record_bytes_;
  std::vector<RecordFile> files_;
  int64_t records_;
  std::unique_ptr<uint8_t[]> bytes_;
};

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

// 3 for "data_batch_3<ending>", 0 for any other name.
int batch_number(std::string_view name, std::string_view ending) {
  constexpr std::string_view start = "data_batch_";
  if (name.size() <= start.size() + ending.size() || !name.starts_with(start) || !name.ends_with(ending)) return 0;
  const char* const first = name.data() + start.size();
  const char* const last = name.data() + name.size() - ending.size();
  int number = 0;
  const auto parsed = std::from_chars(first, last, number);
  return parsed.ec == std::errc() && parsed.ptr == last && *first != '0' && number > 0 ? number : 0;
}

bool holds_binaries(const Variant& v, const fs::path& dir) {
  const std::vector<std::string> names = names_in(dir);
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return name == v.test_file || (v.batches ? batch_number(name, ".bin") > 0 : name == "train.bin");
  });
}

fs::path recognise(const Variant& v, const fs::path& path) {
  std::error_code error;
  for (const fs::path& folder : {path, path / v.subfolder})
    if (fs::is_directory(folder, error) && holds_binaries(v, folder)) return folder;
  return {};
}

// The training files in order. A batch that only the python version has counts as missing, not as the end of the list.
std::vector<fs::path> train_files(const Variant& v, const fs::path& folder) {
  if (!v.batches) {
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
           "'{}' is missing, but data_batch_{} of the pickled python version is there; "
           "unpack {} into a folder of its own",
           files.back().string(), n, v.archive);
    fail(ExitCode::data, "'{}' is missing{}; copy it, or unpack the archive again", files.back().string(),
         last > n ? rt::format(" although there are files up to data_batch_{}.bin", last) : "");
  }
  return files;
}

std::vector<std::string> class_names(const Variant& v, const fs::path& folder) {
  const fs::path path = folder / v.names_file;
  if (!is_file(path)) return {v.usual_names.begin(), v.usual_names.end()};
  std::vector<std::string> names;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    line.erase(line.find_last_not_of(" \t\r") + 1);  // the real file ends in an empty line, and Windows adds \r
    if (!line.empty()) names.push_back(line);
  }
  if (static_cast<int>(names.size()) != v.classes())
    fail(ExitCode::data, "'{}' lists {} class names, but {} has {}; correct it, or remove it to get the usual names",
         path.string(), names.size(), v.title, v.classes());
  return names;
}

// How many records a file of this size has.
int64_t count_records(const Variant& v, const fs::path& path, int64_t size, bool real) {
  const int64_t record = v.record_bytes(), records = size / record;
  if (size == 0) fail(ExitCode::data, "'{}' is empty (0 bytes); copy it, or unpack the archive again", path.string());
  if (size % record != 0)
    fail(ExitCode::data,
         "'{}' is truncated or not {} binary: {} bytes are {} records of {} bytes and {} bytes left over "
         "({} records would be {} bytes); copy it, or unpack the archive again",
         path.string(), v.title, size, records, record, size % record, records + 1, (records + 1) * record);
  if (real && records != real_records)
    fail(ExitCode::data,
         "'{}' has {} records ({} bytes), the real CIFAR-10 has {} ({} bytes); copy it, or unpack the archive again "
         "(a set of your own needs its own class names in batches.meta.txt)",
         path.string(), records, size, real_records, real_records * record);
  return records;
}

void check_labels(const Variant& v, const RecordFile& file, const CifarDataset& data) {
  for (int64_t i = 0; i < file.count; ++i) {
    const uint8_t* labels = data.record(file.first + i);
    const bool coarse_bad = v.label_bytes == 2 && labels[0] >= 20;
    if (!coarse_bad && labels[v.label_bytes - 1] < v.classes()) continue;
    fail(ExitCode::data,
         "'{}': record {} (counted from 0) has the {}label {}, allowed are 0 to {}; "
         "the file is damaged or not {} binary",
         file.path.string(), i, coarse_bad ? "coarse " : "", labels[coarse_bad ? 0 : v.label_bytes - 1],
         coarse_bad ? 19 : v.classes() - 1, v.title);
  }
}

void read_records(const RecordFile& file, CifarDataset& data) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream(std::fopen(file.path.c_str(), "rb"), std::fclose);
  if (!stream) fail(ExitCode::data, "'{}' cannot be opened: {}", file.path.string(), std::strerror(errno));
  const auto bytes = static_cast<size_t>(data.record(file.first + file.count) - data.record(file.first));
  const size_t got = std::fread(data.record(file.first), 1, bytes, stream.get());
  if (got != bytes)
    fail(ExitCode::data, "'{}' gave {} of its {} bytes: {}", file.path.string(), got, bytes,
         std::ferror(stream.get()) ? std::strerror(errno) : "it became shorter while it was read");
}

std::unique_ptr<Dataset> read_files(const Variant& v, const DatasetInfo& info, const std::vector<fs::path>& paths,
                                    bool real) {
  std::vector<RecordFile> files;
  int64_t total = 0;
  for (const fs::path& path : paths) {
    const FileStamp stamp = stamp_of(path.parent_path(), path.filename());
    const int64_t count = count_records(v, path, stamp.bytes, real);
    files.push_back({.path = path, .stamp = stamp, .first = total, .count = count});
    total += count;
  }
  if (total > UINT32_MAX)
    fail(ExitCode::data, "'{}' and its fellows hold {} images, 2^32-1 at most", paths[0].string(), total);
  auto data = std::make_unique<CifarDataset>(info, v.label_bytes, std::move(files));
  for (const RecordFile& file : data->record_files()) {
    read_records(file, *data);
    check_labels(v, file, *data);
  }
  return data;
}

DatasetPair open(const Variant& v, const fs::path& folder) {
  const std::vector<fs::path> files = train_files(v, folder);
  DatasetInfo info{.kind = std::string(v.name),
                   .classes = v.classes(),
                   .class_names = class_names(v, folder),
                   .image = {.height = side, .width = side},
                   .checksum = ChecksumKind::chained};
  const bool real = v.batches && files.size() == 5 && is_file(folder / v.names_file) &&
                    std::equal(info.class_names.begin(), info.class_names.end(), v.usual_names.begin());
  if (info.class_names == synthetic_class_names()) info.kind = "synthetic";
  const fs::path test = folder / v.test_file;
  DatasetPair pair;
  pair.train = read_files(v, info, files, real);
  if (std::error_code error; fs::exists(test, error)) pair.test = read_files(v, info, {test}, real);
  return pair;
}

// The pickled "python version" is the usual mistake.
std::string explain(const Variant& v, const fs::path& dir) {
  for (const fs::path& path : {dir / v.pickles[0], dir / v.pickles[1], dir / v.python_subfolder / v.pickles[0],
                               dir / v.python_subfolder / v.pickles[1], dir / v.python_archive})
    if (is_file(path))
      return rt::format(
          "'{}' belongs to the pickled \"python version\" of {}; rtrain reads the binary version: unpack {} instead",
          path.string(), v.title, v.archive);
  return "";
}

template <const Variant& v>
Source source() {
  return {.name = v.name,
          .title = v.title,
          .help = v.help,
          .recognise = [](const fs::path& path) { return recognise(v, path); },
          .open = [](const fs::path& found) { return open(v, found); },
          .explain = [](const fs::path& dir) { return explain(v, dir); }};
}

}  // namespace

Source cifar10_source() { return source<cifar10>(); }
Source cifar100_source() { return source<cifar100>(); }

}  // namespace rt
