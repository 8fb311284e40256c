#include "train/files/safetensors.hpp"

#define XXH_INLINE_ALL  // the header is all a build needs
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/check.hpp"
#include "train/files/files.hpp"
#include "train/files/safetensors_header.hpp"

namespace rt {
namespace {

static_assert(std::endian::native == std::endian::little, "tensor data is written as it lies in memory");

// Product of a shape and the size of an element; false on overflow.
bool checked_bytes(std::span<const uint64_t> shape, uint64_t element, uint64_t& bytes) {
  bytes = element;
  bool overflow = false;
  for (const uint64_t extent : shape) overflow |= __builtin_mul_overflow(bytes, extent, &bytes);
  return !overflow && bytes <= uint64_t{INT64_MAX};
}

// Everything a reader uses, each part preceded by its length so that no two contents give the same stream.
std::string checksum(std::span<const TensorInfo> tensors, const Metadata& metadata) {
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(), XXH3_freeState);
  XXH3_64bits_reset(state.get());
  const auto add = [&](const void* data, uint64_t bytes) {
    XXH3_64bits_update(state.get(), &bytes, sizeof bytes);
    if (bytes > 0) XXH3_64bits_update(state.get(), data, bytes);
  };
  const auto add_text = [&](const std::string& text) { add(text.data(), text.size()); };
  for (const auto& [key, value] : metadata)
    if (key != checksum_key) {
      add_text(key);
      add_text(value);
    }
  for (const TensorInfo& t : tensors) {
    add_text(t.name);
    add_text(t.dtype);
    add(t.shape.data(), t.shape.size() * sizeof(int64_t));
    add(t.data, t.bytes);
  }
  return rt::format("{:016x}", XXH3_64bits_digest(state.get()));
}

template <class... A>
[[noreturn]] void refuse(const std::string& path, fmt::format_string<A...> format, A&&... args) {
  fail(ExitCode::data, "{} is not a valid safetensors file: {}", path, rt::format(format, std::forward<A>(args)...));
}

// Sizes and places agree: the tensors tile the data section without gap or overlap.
void check_layout(const std::string& path, Header& header, uint64_t data_bytes) {
  uint64_t expected_begin = 0;
  std::sort(header.entries.begin(), header.entries.end(),
            [](const HeaderEntry& a, const HeaderEntry& b) { return a.offsets < b.offsets; });
  for (const HeaderEntry& e : header.entries) {
    const uint64_t begin = e.offsets[0], end = e.offsets[1], element = dtype_bytes(e.dtype);
    if (element == 0) refuse(path, "tensor \"{}\" has the unknown dtype \"{}\"", e.name, e.dtype);
    uint64_t bytes = 0;
    if (!checked_bytes(e.shape, element, bytes))
      refuse(path, "the shape [{}] of tensor \"{}\" is larger than memory can be", joined(e.shape, ", "), e.name);
    if (begin != expected_begin)
      refuse(path, "the data of tensor \"{}\" begins at {}, {} {}", e.name, begin,
             begin < expected_begin ? "inside another tensor that ends at" : "after a gap from", expected_begin);
    if (end < begin || end - begin != bytes)
      refuse(path, "tensor \"{}\" has data from {} to {}, but {} [{}] takes {} bytes", e.name, begin, end, e.dtype,
             joined(e.shape, ", "), bytes);
    expected_begin = end;
  }
  if (expected_begin != data_bytes)
    refuse(path, "the tensors take {} bytes, but {} follow the header: the file is {}", expected_begin, data_bytes,
           expected_begin > data_bytes ? "cut short" : "too long");
}

}  // namespace

size_t dtype_bytes(std::string_view dtype) {
  static const std::map<std::string_view, size_t> sizes = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"U16", 2}, {"I16", 2}, {"F16", 2},
      {"BF16", 2}, {"U32", 4}, {"I32", 4}, {"F32", 4},     {"U64", 8},     {"I64", 8}, {"F64", 8}};
  const auto found = sizes.find(dtype);
  return found == sizes.end() ? 0 : found->second;
}

SafetensorsFile SafetensorsFile::open(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) fail(ExitCode::data, "cannot read {}: there is no such file", path);
  if (!std::filesystem::is_regular_file(status)) fail(ExitCode::data, "cannot read {}: it is not a regular file", path);
  const uint64_t file_bytes = std::filesystem::file_size(path, error);
  std::ifstream in(path, std::ios::binary);
  if (error || !in) fail(ExitCode::data, "cannot read {}: {}", path, std::strerror(errno));

  uint64_t header_bytes = 0;
  if (file_bytes < sizeof header_bytes) refuse(path, "it has {} bytes, too few for a header length", file_bytes);
  in.read(reinterpret_cast<char*>(&header_bytes), sizeof header_bytes);
  if (header_bytes > max_header_bytes)
    refuse(path, "the header length is {}, above the limit of {}", header_bytes, max_header_bytes);
  if (header_bytes > file_bytes - sizeof header_bytes)
    refuse(path, "the header length is {}, but only {} bytes follow", header_bytes, file_bytes - sizeof header_bytes);
  std::string json(header_bytes, '\0');
  in.read(json.data(), static_cast<std::streamsize>(header_bytes));

  Header header;
  try {
    if (in) header = parse_header(json);
  } catch (const std::runtime_error& e) {
    refuse(path, "{}", e.what());
  }
  const uint64_t data_bytes = file_bytes - sizeof header_bytes - header_bytes;
  if (in) check_layout(path, header, data_bytes);

  SafetensorsFile file;
  file.path_ = path;
  file.metadata_ = std::move(header.metadata);
  file.data_ = std::make_unique_for_overwrite<std::byte[]>(data_bytes);
  in.read(reinterpret_cast<char*>(file.data_.get()), static_cast<std::streamsize>(data_bytes));
  if (!in) fail(ExitCode::data, "cannot read {}: it changed or failed while it was read", path);
  for (HeaderEntry& e : header.entries) {
    file.index_[e.name] = file.tensors_.size();
    file.tensors_.push_back({.name = std::move(e.name),
                             .dtype = std::move(e.dtype),
                             .shape = {e.shape.begin(), e.shape.end()},
                             .data = file.data_.get() + e.offsets[0],
                             .bytes = e.offsets[1] - e.offsets[0]});
  }
  file.verify();
  return file;
}

const TensorInfo* SafetensorsFile::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

void SafetensorsFile::verify() const {
  const auto stored = metadata_.find(checksum_key);
  if (stored == metadata_.end()) return;
  if (const std::string computed = checksum(tensors_, metadata_); computed != stored->second)
    fail(ExitCode::data, "{} is damaged: its contents give the checksum {}, but {} was stored with them", path_,
         computed, stored->second);
}

void write_safetensors(const std::string& path, std::span<const TensorInfo> tensors, Metadata metadata) {
  std::vector<TensorInfo> order(tensors.begin(), tensors.end());
  std::sort(order.begin(), order.end(), [](const TensorInfo& a, const TensorInfo& b) {
    const size_t a_bytes = dtype_bytes(a.dtype), b_bytes = dtype_bytes(b.dtype);
    return a_bytes != b_bytes ? a_bytes > b_bytes : a.name < b.name;
  });
  metadata["format"] = "pt";
  metadata[checksum_key] = checksum(order, metadata);

  nlohmann::ordered_json header;
  header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const TensorInfo& t : order) {
    uint64_t bytes = 0;
    const std::vector<uint64_t> shape(t.shape.begin(), t.shape.end());  // a negative extent overflows
    RT_CHECK(checked_bytes(shape, dtype_bytes(t.dtype), bytes) && bytes == t.bytes && dtype_bytes(t.dtype) > 0,
             "{}: tensor {} of {} [{}] cannot have {} bytes", path, t.name, t.dtype, joined(t.shape, ", "), t.bytes);
    RT_CHECK(!header.contains(t.name), "{}: the name {} comes twice or is reserved", path, t.name);
    header[t.name] = {{"dtype", t.dtype}, {"shape", t.shape}, {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string json = header.dump();
  json.append((8 - json.size() % 8) % 8, ' ');  // so that the data is aligned in a mapped file
  RT_CHECK(json.size() <= max_header_bytes, "{}: a header of {} bytes is above the format's limit of {}", path,
           json.size(), max_header_bytes);

  AtomicFile file(path);
  const uint64_t header_bytes = json.size();
  file.write(&header_bytes, sizeof header_bytes);
  file.write(json.data(), json.size());
  for (const TensorInfo& t : order) file.write(t.data, t.bytes);
  file.commit();
}

}  // namespace rt
