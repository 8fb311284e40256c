#include <doctest/doctest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "core/check.hpp"
#include "tests/support/error_of.hpp"
#include "tests/support/temp_folder.hpp"
#include "train/files/safetensors.hpp"

using namespace rt;
using namespace rt::testing;

namespace {

const float a[6] = {0, 1, 2, 3, 4, 5};
const int64_t n = 7;
const uint16_t half[3] = {0x3c00, 0x4000, 0x4200};  // 1, 2, 3 in f16

template <class T>
TensorInfo tensor(const char* name, const char* dtype, std::vector<int64_t> shape, const T* data, size_t bytes) {
  return {name, dtype, std::move(shape), reinterpret_cast<const std::byte*>(data), bytes};
}

std::vector<TensorInfo> sample() {
  return {tensor("half", "F16", {3}, half, 6), tensor("a", "F32", {2, 3}, a, 24), tensor("n", "I64", {}, &n, 8),
          tensor("empty", "F32", {0, 4}, a, 0)};
}

std::string file_of(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + data;
}

// What opening a file with these bytes says, FILE standing for its path.
std::string refusal(const std::string& bytes) {
  const TempFolder folder;
  const std::string path = folder.write("m.safetensors", bytes);
  try {
    SafetensorsFile::open(path);
  } catch (const Error& e) {
    CHECK(e.code() == ExitCode::data);
    const std::string text = e.what();
    CHECK(text.find(path) == 0);
    return text.substr(path.size() + 1);
  }
  return "opened";
}

}  // namespace

TEST_CASE("safetensors: what is written reads back, aligned, with its metadata and a checksum") {
  const TempFolder folder;
  const std::string path = folder / "m.safetensors";
  write_safetensors(path, sample(), {{"classes", "[\"cat\"]"}});
  const SafetensorsFile file = SafetensorsFile::open(path);
  CHECK(file.tensors().size() == 4);
  CHECK(file.metadata().at("format") == "pt");
  CHECK(file.metadata().at("classes") == "[\"cat\"]");
  CHECK(file.has_checksum());
  CHECK(file.find("b") == nullptr);
  for (const TensorInfo& t : sample()) {
    const TensorInfo* found = file.find(t.name);
    REQUIRE(found != nullptr);
    CHECK(found->dtype == t.dtype);
    CHECK(found->shape == t.shape);
    REQUIRE(found->bytes == t.bytes);
    CHECK(std::memcmp(found->data, t.data, t.bytes) == 0);
    CHECK(reinterpret_cast<uintptr_t>(found->data) % dtype_bytes(t.dtype) == 0);
  }
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, folder.read("m.safetensors").data(), 8);
  CHECK(header_bytes % 8 == 0);
  CHECK(!std::filesystem::exists(path + ".tmp"));
}

TEST_CASE("safetensors: the same tensors give the same file, in whatever order they come") {
  const TempFolder folder;
  std::vector<TensorInfo> tensors = sample();
  write_safetensors(folder / "x", tensors, {});
  std::swap(tensors[0], tensors[2]);
  write_safetensors(folder / "y", tensors, {});
  CHECK(folder.read("x") == folder.read("y"));
}

TEST_CASE("safetensors: every flipped bit is found") {
  const TempFolder folder;
  write_safetensors(folder / "m", sample(), {{"step", "1200"}});
  const std::string good = folder.read("m");
  std::fstream bytes(folder / "m", std::ios::in | std::ios::out | std::ios::binary);
  const auto put = [&](size_t at, int value) {
    bytes.seekp(static_cast<std::streamoff>(at)).put(static_cast<char>(value)).flush();
  };
  int misleading = 0;
  for (size_t at = 0; at < good.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      put(at, good[at] ^ (1 << bit));
      try {
        // One loss cannot be seen, that of the checksum's own key: then the reader must not claim that there was one.
        misleading += SafetensorsFile::open(folder / "m").has_checksum();
      } catch (const Error& e) {
        CHECK(e.code() == ExitCode::data);
      }
    }
    put(at, good[at]);
  }
  CHECK(misleading == 0);
  std::string bad = good;
  bad.back() = static_cast<char>(bad.back() ^ 1);
  CHECK(refusal(bad).find("is damaged: its contents give the checksum ") == 0);
  bad = good;
  bad.replace(bad.find("1200"), 4, "1300");
  CHECK(refusal(bad).find("is damaged: ") == 0);
}

TEST_CASE("safetensors: a file cut anywhere is refused") {
  const TempFolder folder;
  write_safetensors(folder / "m", sample(), {});
  const std::string good = folder.read("m");
  for (size_t bytes = good.size(); bytes-- > 0;) {
    std::filesystem::resize_file(folder / "m", bytes);
    CHECK_THROWS_AS(SafetensorsFile::open(folder / "m"), Error);
  }
  CHECK(refusal(good + "x").find("the file is too long") != std::string::npos);
}

TEST_CASE("safetensors: files of other writers need no checksum, no order and no metadata") {
  CHECK(refusal(file_of("{}", "")) == "opened");
  CHECK(refusal(file_of("{\"x\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]},"
                        "\"y\":{\"shape\":[1],\"data_offsets\":[0,1],\"dtype\":\"BOOL\"}}  \n",
                        "abc")) == "opened");
  CHECK(refusal(file_of("{\"x\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[4,4]},"
                        "\"z\":{\"dtype\":\"F32\",\"shape\":[0,9],\"data_offsets\":[0,0]},"
                        "\"y\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}",
                        "abcd")) == "opened");
}

TEST_CASE("safetensors: a malformed header is refused with what is wrong") {
  struct Case {
    std::string bytes, says;
  };
  const auto one = [](const std::string& dtype, const std::string& shape, const std::string& offsets,
                      const std::string& data) {
    return file_of("{\"x\":{\"dtype\":\"" + dtype + "\",\"shape\":[" + shape + "],\"data_offsets\":[" + offsets + "]}}",
                   data);
  };
  const auto two = [](const std::string& x, const std::string& y, const std::string& data) {
    return file_of("{\"x\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[" + x +
                       "]},\"y\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[" + y + "]}}",
                   data);
  };
  const std::string huge = "\xff\xff\xff\xff\xff\xff\xff\xff";
  const Case cases[] = {
      {"", "it has 0 bytes, too few for a header length"},
      {"1234567", "it has 7 bytes, too few for a header length"},
      {huge + "{}", "the header length is 18446744073709551615, above the limit of 100000000"},
      {std::string("\x05\0\0\0\0\0\0\0{}", 10), "the header length is 5, but only 2 bytes follow"},
      {file_of("", ""), "the header does not start with {"},
      {file_of(" {}", ""), "the header does not start with {"},
      {file_of("[]", ""), "the header does not start with {"},
      {file_of("{\"x\":", ""), "the header is not valid JSON at byte 6"},
      {file_of("{} x", ""), "the header is not valid JSON at byte 4"},
      {file_of("{\"\xff\":1}", ""), "the header is not valid JSON at byte 3"},
      {file_of(std::string("{}\0 x", 5), ""), "the header holds a zero byte, byte 3"},
      {file_of("{\"x\":1}", ""), "entry \"x\" is a number, not an object"},
      {file_of("{\"x\":[]}", ""), "entry \"x\" is a list, not an object"},
      {file_of("{\"x\":{\"dtype\":{}}}", ""), "dtype of tensor \"x\" is or holds an object"},
      {file_of("{\"x\":{\"dtype\":4}}", ""), "dtype of tensor \"x\" is or holds a number"},
      {file_of("{\"x\":{\"shape\":[[1]]}}", ""), "shape of tensor \"x\" is or holds a list"},
      {file_of("{\"x\":{\"shape\":[[[[[[[[", ""), "shape of tensor \"x\" is or holds a list"},
      {file_of("{\"x\":{\"shape\":3}}", ""), "shape of tensor \"x\" is or holds a number"},
      {file_of("{\"x\":{\"colour\":3}}", ""), "tensor \"x\" has an unknown field \"colour\""},
      {file_of("{\"x\":{}}", ""), "tensor \"x\" has no dtype"},
      {file_of("{\"x\":{\"dtype\":\"F32\",\"shape\":[]}}", ""), "tensor \"x\" has no data_offsets"},
      {file_of("{\"x\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}", ""), "\"dtype\" comes twice in tensor \"x\""},
      {file_of("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", ""), "\"a\" comes twice"},
      {file_of("{\"__metadata__\":{\"a\":1}}", ""), "metadata \"a\" is a number, not text"},
      {file_of("{\"__metadata__\":{\"a\":{}}}", ""), "metadata \"a\" is an object, not text"},
      {file_of("{\"__metadata__\":\"a\"}", ""), "entry \"__metadata__\" is text, not an object"},
      {file_of("{\"__metadata__\":{},\"__metadata__\":{}}", ""), "\"__metadata__\" comes twice"},
      {file_of("{\"x\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},\"x\":{}}", ""), "\"x\" comes twice"},
      {one("F31", "1", "0,4", "abcd"), "tensor \"x\" has the unknown dtype \"F31\""},
      {one("F32", "-1", "0,4", "abcd"), "shape of tensor \"x\" is or holds a negative number"},
      {one("F32", "1.5", "0,4", "abcd"), "shape of tensor \"x\" is or holds a fraction"},
      {one("F32", "1", "0,4,8", "abcd"), "tensor \"x\" has 3 data_offsets, not 2"},
      {one("F32", "1", "0", "abcd"), "tensor \"x\" has 1 data_offsets, not 2"},
      {one("F32", "1", "4,0", "abcd"), "the data of tensor \"x\" begins at 4, after a gap from 0"},
      {one("F32", "1", "0,3", "abc"), "tensor \"x\" has data from 0 to 3, but F32 [1] takes 4 bytes"},
      {one("F32", "2", "0,4", "abcd"), "tensor \"x\" has data from 0 to 4, but F32 [2] takes 8 bytes"},
      {one("F32", "4294967296,4294967296", "0,0", ""), "the shape [4294967296, 4294967296] of tensor \"x\" is larger"},
      {one("U8", "9223372036854775808", "0,9223372036854775808", ""), "the shape [9223372036854775808] of tensor"},
      {one("F32", "1", "0,4", "abc"), "the tensors take 4 bytes, but 3 follow the header: the file is cut short"},
      {one("F32", "1", "0,4", "abcde"), "the tensors take 4 bytes, but 5 follow the header: the file is too long"},
      {file_of("{}", "a"), "the tensors take 0 bytes, but 1 follow the header: the file is too long"},
      {two("0,2", "1,3", "abc"), "the data of tensor \"y\" begins at 1, inside another tensor that ends at 2"},
      {two("0,2", "0,2", "ab"), "begins at 0, inside another tensor that ends at 2"},
      {two("0,2", "3,5", "abcde"), "the data of tensor \"y\" begins at 3, after a gap from 2"},
      {two("1,3", "3,5", "abcde"), "the data of tensor \"x\" begins at 1, after a gap from 0"},
  };
  for (const Case& c : cases) {
    const std::string said = refusal(c.bytes);
    CAPTURE(c.bytes);
    CAPTURE(said);
    CHECK(said.find("is not a valid safetensors file: ") == 0);
    CHECK(said.find(c.says) != std::string::npos);
  }
  std::string shape = "1";
  for (int i = 0; i < 40; ++i) shape += ",1";
  CHECK(refusal(one("U8", shape, "0,1", "a")).find("shape of tensor \"x\" has more than 32 entries") !=
        std::string::npos);
  CHECK(refusal(file_of("{\"x\":" + std::string(1000000, '['), "")) != "opened");
}

TEST_CASE("safetensors: a path without a file is refused") {
  CHECK(error_of([] { SafetensorsFile::open("/no/such"); }) == "cannot read /no/such: there is no such file");
  CHECK(error_of([] { SafetensorsFile::open("/dev/zero"); }) == "cannot read /dev/zero: it is not a regular file");
}

TEST_CASE("safetensors: the writer refuses what it could not read back, and leaves the old file") {
  const TempFolder folder;
  const std::string path = folder.write("m", "old");
  const auto error = [&](std::vector<TensorInfo> tensors) {
    return error_of([&] { write_safetensors(path, tensors, {}); }).substr(path.size());
  };
  CHECK(error({tensor("x", "F32", {2}, a, 4)}) == ": tensor x of F32 [2] cannot have 4 bytes");
  CHECK(error({tensor("x", "F31", {1}, a, 4)}) == ": tensor x of F31 [1] cannot have 4 bytes");
  CHECK(error({tensor("x", "F32", {-1}, a, 4)}) == ": tensor x of F32 [-1] cannot have 4 bytes");
  CHECK(error({tensor("x", "F32", {1}, a, 4), tensor("x", "F32", {1}, a, 4)}) ==
        ": the name x comes twice or is reserved");
  CHECK(error({tensor("__metadata__", "F32", {1}, a, 4)}) == ": the name __metadata__ comes twice or is reserved");
  CHECK(folder.read("m") == "old");
}

TEST_CASE("safetensors: a folder shared with the reference implementation") {
  const char* shared = std::getenv("RT_SAFETENSORS_FOLDER");  // set by check_safetensors.py, which checks the rest
  if (shared == nullptr) return;
  write_safetensors(std::string(shared) + "/ours.safetensors", sample(), {{"note", "quote \" line\nÜ"}});
  const SafetensorsFile theirs = SafetensorsFile::open(std::string(shared) + "/theirs.safetensors");
  REQUIRE(theirs.tensors().size() == 2);
  CHECK(theirs.metadata().at("k") == "v");
  CHECK(std::memcmp(theirs.find("a")->data, a, sizeof a) == 0);
  CHECK(theirs.find("a")->shape == std::vector<int64_t>{2, 3});
  CHECK(std::memcmp(theirs.find("n")->data, &n, sizeof n) == 0);
}
