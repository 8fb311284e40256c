// Tensors in a file, in the safetensors format: u64 little-endian header length, JSON header, raw data.
// The reader is strict: whatever the format does not allow is an Error(data) that names the file, before any of the
// data is used. What we write also carries a checksum of names, shapes, metadata and data, checked on opening: a
// checkpoint with a flipped bit is found instead of trained on.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rt {

struct TensorInfo {
  std::string name;
  std::string dtype;  // "F32", "I64", "BF16", …
  std::vector<int64_t> shape;
  const std::byte* data;  // little-endian, dense, row-major; as aligned as dtype in files that we wrote
  size_t bytes;
};

using Metadata = std::map<std::string, std::string>;

constexpr const char* checksum_key = "rtrain.xxh3";  // in the metadata: XXH3-64 as 16 hexadecimal digits

size_t dtype_bytes(std::string_view dtype);  // 0 for an unknown one

class SafetensorsFile {
 public:
  // Reads the whole file and verifies the checksum if there is one. The file is read rather than mapped: a mapping
  // would end the process with SIGBUS if another one cut the file short.
  static SafetensorsFile open(const std::string& path);

  const std::string& path() const { return path_; }
  std::span<const TensorInfo> tensors() const { return tensors_; }  // in the order of their data; valid as long as this
  const TensorInfo* find(std::string_view name) const;              // null if there is none
  const Metadata& metadata() const { return metadata_; }
  bool has_checksum() const { return metadata_.count(checksum_key) > 0; }

 private:
  void verify() const;

  std::string path_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, size_t, std::less<>> index_;
  Metadata metadata_;
  std::unique_ptr<std::byte[]> data_;
};

// Replaces the file at path atomically (train/files/files.hpp). "format": "pt" and the checksum are added to the
// metadata. Tensors are laid out by falling alignment, then by name. Throws Error(runtime) if a tensor's bytes are not
// what its shape says, a name comes twice, or the file cannot be written.
void write_safetensors(const std::string& path, std::span<const TensorInfo> tensors, Metadata metadata);

}  // namespace rt
