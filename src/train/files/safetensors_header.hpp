// The JSON header of a safetensors file, parsed event by event: a document tree would hide duplicate keys, and a
// hostile header could nest as deep as it is long.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "train/files/safetensors.hpp"

namespace rt {

constexpr uint64_t max_header_bytes = 100'000'000;  // the reference implementation's limit
constexpr size_t max_rank = 32;

struct HeaderEntry {
  std::string name, dtype;
  std::vector<uint64_t> shape, offsets;
};

struct Header {
  std::vector<HeaderEntry> entries;
  Metadata metadata;
};

// Throws std::runtime_error with what is wrong, without the file's name. Offsets are not yet checked against each
// other.
Header parse_header(std::string_view json);

}  // namespace rt
