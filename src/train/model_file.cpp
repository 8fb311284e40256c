#include "train/model_file.hpp"

#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "core/log.hpp"

namespace rt {
namespace {

std::vector<int64_t> dims(const Shape& shape) {
  std::vector<int64_t> list;
  for (int i = 0; i < shape.rank(); ++i) list.push_back(shape[i]);
  return list;
}

std::string counter_name(const std::string& statistic) {  // "bn1.running_mean" -> "bn1.num_batches_tracked"
  return statistic.substr(0, statistic.rfind('.') + 1) + "num_batches_tracked";
}

void copy_tensor(const SafetensorsFile& file, const NamedView& to) {
  const TensorInfo* from = file.find(to.name);
  if (!from) fail(ExitCode::data, "{}: tensor '{}' is missing", file.path(), to.name);
  if (from->shape != dims(to.view.shape()))
    fail(ExitCode::data, "{}: tensor '{}' has shape [{}], this model needs {}{}", file.path(), to.name,
         joined(from->shape, ","), to.view.shape().str(),
         to.name == "conv1.weight" ? "; model.stem=imagenet is the 7x7 stem, model.stem=cifar the 3x3 one" : "");
  View source{to.view.spec, const_cast<std::byte*>(from->data)};
  if (from->dtype == "F32")
    source.spec.dtype = DType::f32;
  else if (from->dtype == "F16")
    source.spec.dtype = DType::f16;
  else if (from->dtype == "BF16")
    source.spec.dtype = DType::bf16;
  else if (from->dtype == "F64")
    source.spec.dtype = DType::f64;
  else
    fail(ExitCode::data, "{}: tensor '{}' is {}, expected a floating-point type", file.path(), to.name, from->dtype);
  copy_convert(source, to.view);
}

const TensorInfo& need(const SafetensorsFile& file, const char* name, size_t rank) {
  const TensorInfo* t = file.find(name);
  if (!t || t->shape.size() != rank)
    fail(ExitCode::data, "{}: not a ResNet with torchvision's names: '{}' is {}", file.path(), name,
         t ? "of another rank" : "missing");
  return *t;
}

}  // namespace

std::vector<TensorInfo> state_dict(const ModelState& state) {
  std::vector<TensorInfo> list;
  auto add = [&](const NamedView& v) {
    list.push_back(
        {v.name, "F32", dims(v.view.shape()), static_cast<const std::byte*>(v.view.data), v.view.spec.bytes()});
  };
  for (const NamedView& v : state.parameters()) add(v);
  for (const NamedView& v : state.statistics()) {
    add(v);
    if (v.name.ends_with("running_mean"))
      list.push_back({counter_name(v.name), "I64", {}, reinterpret_cast<const std::byte*>(&state.batches_tracked), 8});
  }
  return list;
}

Metadata model_metadata(const ModelInfo& info) {
  return {{"format", "pt"},
          {"arch", info.net.arch},
          {"stem", info.net.stem},
          {"classes", nlohmann::json(info.classes).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)},
          {"mean", nlohmann::json(info.normalisation.mean).dump()},
          {"std", nlohmann::json(info.normalisation.std).dump()},
          {"input_size", nlohmann::json{info.height, info.width}.dump()},
          {"resize", "none"},
          {"crop", "none"},
          {"interpolation", "none"}};
}

void save_model(const std::string& path, const ModelInfo& info, const ModelState& state) {
  write_safetensors(path, state_dict(state), model_metadata(info));
}

ModelInfo read_model_info(const SafetensorsFile& file) {
  ModelInfo info;
  const TensorInfo &conv1 = need(file, "conv1.weight", 4), &fc = need(file, "fc.weight", 2);
  info.net.classes = fc.shape[0];
  info.net.channels = conv1.shape[1];
  info.net.width = conv1.shape[0];
  if (conv1.shape[2] != 7 && conv1.shape[2] != 3)
    fail(ExitCode::data, "{}: the first convolution is {}x{}; known stems are 7x7 (imagenet) and 3x3 (cifar)",
         file.path(), conv1.shape[2], conv1.shape[3]);
  info.net.stem = conv1.shape[2] == 7 ? "imagenet" : "cifar";
  info.net.arch = file.find("layer1.0.conv3.weight")   ? "resnet50"
                  : file.find("layer1.2.conv1.weight") ? "resnet34"
                                                       : "resnet18";
  if (info.net.classes < 1 || info.net.width < 1 || info.net.width > 4096 || info.net.classes > 1'000'000 ||
      info.net.channels != 3)
    fail(ExitCode::data, "{}: {} classes, {} channels and width {} are not a ResNet that rtrain can build", file.path(),
         info.net.classes, info.net.channels, info.net.width);

  const Metadata& meta = file.metadata();
  auto read = [&](const char* key, auto& to) {
    const auto it = meta.find(key);
    if (it == meta.end()) return false;
    try {
      nlohmann::json::parse(it->second).get_to(to);
    } catch (const nlohmann::json::exception&) {
      fail(ExitCode::data, "{}: metadata '{}' is not the JSON array it should be: {}", file.path(), key,
           it->second.substr(0, 60));
    }
    return true;
  };
  read("classes", info.classes);
  if (!info.classes.empty() && static_cast<int64_t>(info.classes.size()) != info.net.classes)
    fail(ExitCode::data, "{}: {} class names for {} classes", file.path(), info.classes.size(), info.net.classes);
  const bool has_mean = read("mean", info.normalisation.mean), has_std = read("std", info.normalisation.std);
  info.has_normalisation = has_mean && has_std;
  std::array<int64_t, 2> size{};
  if (read("input_size", size)) info.height = size[0], info.width = size[1];
  return info;
}

void load_weights(const SafetensorsFile& file, ModelState& state, Head head) {
  std::set<std::string> used;
  for (const NamedView& v : state.parameters()) {
    used.insert(v.name);
    const TensorInfo* t = file.find(v.name);
    if (head == Head::may_differ && v.name.starts_with("fc.") && t && t->shape != dims(v.view.shape())) {
      log_info("{}: '{}' is [{}] for {} in this model: it keeps its fresh weights", file.path(), v.name,
               joined(t->shape, ","), v.view.shape().str());
      continue;
    }
    copy_tensor(file, v);
  }
  state.batches_tracked = 0;
  for (const NamedView& v : state.statistics()) {
    copy_tensor(file, v);
    const std::string counter = counter_name(v.name);
    used.insert({v.name, counter});
    if (const TensorInfo* t = file.find(counter); t && t->dtype == "I64" && t->bytes == 8)
      std::memcpy(&state.batches_tracked, t->data, 8);
  }
  for (const TensorInfo& t : file.tensors())
    if (!used.count(t.name) && !t.name.starts_with("optimizer."))
      fail(ExitCode::data, "{}: tensor '{}' does not belong to this model", file.path(), t.name);
  state.push();  // the fresh statistics too: they are the committed ones now
}

}  // namespace rt
