#include "train/files/safetensors_header.hpp"

#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

#include "core/format.hpp"

namespace rt {
namespace {

template <class... A>
[[noreturn]] void bad(fmt::format_string<A...> format, A&&... args) {
  throw std::runtime_error(rt::format(format, std::forward<A>(args)...));
}

// Where the parser is: { top: "name": { tensor: "shape": [ list ] }, "__metadata__": { metadata } }
enum class In { nothing, top, tensor, list, metadata };

class Events : public nlohmann::json_sax<nlohmann::json> {
 public:
  Header header;

  bool start_object(size_t) override {
    if (in_ == In::nothing) {
      in_ = In::top;
    } else if (in_ == In::top && key_ == "__metadata__") {
      in_ = In::metadata;
      keys_.clear();
    } else if (in_ == In::top) {
      in_ = In::tensor;
      keys_.clear();
      header.entries.push_back({.name = key_, .dtype = {}, .shape = {}, .offsets = {}});
    } else {
      unexpected("an object");
    }
    return true;
  }
  bool end_object() override {
    if (in_ == In::tensor) {
      for (const char* key : {"dtype", "shape", "data_offsets"})
        if (keys_.count(key) == 0) bad("tensor \"{}\" has no {}", entry().name, key);
      if (entry().offsets.size() != 2)
        bad("tensor \"{}\" has {} data_offsets, not 2", entry().name, entry().offsets.size());
    }
    in_ = in_ == In::top ? In::nothing : In::top;
    return true;
  }
  bool key(std::string& name) override {
    if (!(in_ == In::top ? names_ : keys_).insert(name).second)
      bad("\"{}\" comes twice{}", name, in_ == In::tensor ? rt::format(" in tensor \"{}\"", entry().name) : "");
    if (in_ == In::tensor && name != "dtype" && name != "shape" && name != "data_offsets")
      bad("tensor \"{}\" has an unknown field \"{}\"", entry().name, name);
    key_ = std::move(name);
    return true;
  }
  bool start_array(size_t) override {
    if (in_ != In::tensor || key_ == "dtype") unexpected("a list");
    in_ = In::list;
    return true;
  }
  bool end_array() override {
    in_ = In::tensor;
    return true;
  }
  bool number_unsigned(uint64_t value) override {
    if (in_ != In::list) unexpected("a number");
    std::vector<uint64_t>& list = key_ == "shape" ? entry().shape : entry().offsets;
    if (list.size() == max_rank) bad("{} of tensor \"{}\" has more than {} entries", key_, entry().name, max_rank);
    list.push_back(value);
    return true;
  }
  bool string(std::string& value) override {
    if (in_ == In::metadata)
      header.metadata[key_] = std::move(value);
    else if (in_ == In::tensor && key_ == "dtype")
      entry().dtype = std::move(value);
    else
      unexpected("text");
    return true;
  }
  bool null() override { unexpected("null"); }
  bool boolean(bool) override { unexpected("true or false"); }
  bool number_integer(int64_t) override { unexpected("a negative number"); }
  bool number_float(double, const std::string&) override { unexpected("a fraction, or a number beyond 64 bits,"); }
  bool binary(nlohmann::json::binary_t&) override { unexpected("binary data"); }
  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) override {
    bad("the header is not valid JSON at byte {}", position);
  }

 private:
  HeaderEntry& entry() { return header.entries.back(); }
  [[noreturn]] void unexpected(const char* what) {
    if (in_ == In::nothing) bad("the header is {}, not an object", what);
    if (in_ == In::metadata) bad("metadata \"{}\" is {}, not text", key_, what);
    if (in_ == In::top) bad("entry \"{}\" is {}, not an object", key_, what);
    bad("{} of tensor \"{}\" is or holds {}", key_, entry().name, what);
  }

  In in_ = In::nothing;
  std::string key_;
  std::set<std::string> names_, keys_;  // seen at the top, and in the object below it
};

}  // namespace

Header parse_header(std::string_view json) {
  if (json.empty() || json[0] != '{') bad("the header does not start with {{");
  // The parser takes a zero byte for the end of its input and would ignore what follows.
  if (const size_t zero = json.find('\0'); zero != json.npos) bad("the header holds a zero byte, byte {}", zero + 1);
  Events events;
  nlohmann::json::sax_parse(json.begin(), json.end(), &events);
  return std::move(events.header);
}

}  // namespace rt
