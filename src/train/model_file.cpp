#include "train/model_file.hpp"

#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "core/log.hpp"
#include "layers/recognise.hpp"

namespace rt {
namespace {

std::string counter_name(const std::string& statistic) {  // "bn1.running_mean" -> "bn1.num_batches_tracked"
  return statistic.substr(0, statistic.rfind('.') + 1) + "num_batches_tracked";
}

constexpr const char* optimizer_prefix = "optimizer.";

Recognition model_held_by(const SafetensorsFile& file) {
  TensorShapes shapes;
  for (const TensorInfo& t : file.tensors())
    if (!t.name.starts_with(optimizer_prefix) && !t.name.ends_with("num_batches_tracked")) shapes[t.name] = t.shape;
  return recognise(shapes);
}

// What to do about tensors that do not fit: "" unless the file holds another architecture or stem.
std::string advice(const SafetensorsFile& file, const Model& model) {
  const auto held = model_held_by(file).config;
  const ModelConfig& wanted = model.config();
  if (!held || (held->arch == wanted.arch && held->stem == wanted.stem)) return "";
  return rt::format("; the file holds model.arch={} model.stem={}, this model is model.arch={} model.stem={}",
                    held->arch, held->stem, wanted.arch, wanted.stem);
}

void copy_tensor(const SafetensorsFile& file, const Model& model, const NamedView& to) {
  const TensorInfo* from = file.find(to.name);
  if (!from) fail(ExitCode::data, "{}: tensor '{}' is missing{}", file.path(), to.name, advice(file, model));
  if (from->shape != dims(to.view.shape()))
    fail(ExitCode::data, "{}: tensor '{}' has shape [{}], this model needs {}{}", file.path(), to.name,
         joined(from->shape, ","), to.view.shape().str(), advice(file, model));
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

// Reads metadata that are a JSON array; false where there are none under that key.
template <class T>
bool read(const SafetensorsFile& file, const char* key, T& to) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) return false;
  try {
    nlohmann::json::parse(found->second).get_to(to);
  } catch (const nlohmann::json::exception&) {
    fail(ExitCode::data, "{}: metadata '{}' is not the JSON array it should be: {}", file.path(), key,
         found->second.substr(0, 60));
  }
  return true;
}

}  // namespace

std::vector<TensorInfo> state_dict(const ModelState& state) {
  std::vector<TensorInfo> list;
  auto add = [&](const NamedView& v) {
    list.push_back({.name = v.name,
                    .dtype = "F32",
                    .shape = dims(v.view.shape()),
                    .data = static_cast<const std::byte*>(v.view.data),
                    .bytes = v.view.spec.bytes()});
  };
  for (const NamedView& v : state.parameters()) add(v);
  for (const NamedView& v : state.statistics()) {
    add(v);
    if (v.name.ends_with("running_mean"))
      list.push_back({.name = counter_name(v.name),
                      .dtype = "I64",
                      .shape = {},
                      .data = reinterpret_cast<const std::byte*>(&state.batches_tracked),
                      .bytes = sizeof state.batches_tracked});
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
  const Recognition held = model_held_by(file);
  if (!held.config) fail(ExitCode::data, "{}: {}", file.path(), held.problem);
  info.net = *held.config;
  read(file, "classes", info.classes);
  if (!info.classes.empty() && static_cast<int64_t>(info.classes.size()) != info.net.classes)
    fail(ExitCode::data, "{}: {} class names for {} classes", file.path(), info.classes.size(), info.net.classes);
  const bool has_mean = read(file, "mean", info.normalisation.mean);
  const bool has_std = read(file, "std", info.normalisation.std);
  info.has_normalisation = has_mean && has_std;
  std::array<int64_t, 2> size{};
  if (read(file, "input_size", size)) {
    info.height = size[0];
    info.width = size[1];
  }
  return info;
}

void load_weights(const SafetensorsFile& file, const Model& model, ModelState& state, Head head) {
  std::set<std::string> used;
  for (const NamedView& v : state.parameters()) {
    used.insert(v.name);
    const TensorInfo* t = file.find(v.name);
    if (head == Head::may_differ && v.name.starts_with(model.head()) && t && t->shape != dims(v.view.shape())) {
      log_info("{}: '{}' is [{}] for {} in this model: it keeps its fresh weights", file.path(), v.name,
               joined(t->shape, ","), v.view.shape().str());
      continue;
    }
    copy_tensor(file, model, v);
  }
  state.batches_tracked = 0;
  for (const NamedView& v : state.statistics()) {
    copy_tensor(file, model, v);
    const std::string counter = counter_name(v.name);
    used.insert({v.name, counter});
    if (const TensorInfo* t = file.find(counter); t && t->dtype == "I64" && t->bytes == 8)
      std::memcpy(&state.batches_tracked, t->data, 8);
  }
  for (const TensorInfo& t : file.tensors())
    if (!used.count(t.name) && !t.name.starts_with(optimizer_prefix))
      fail(ExitCode::data, "{}: tensor '{}' does not belong to this model{}", file.path(), t.name, advice(file, model));
  state.push();  // the fresh statistics too: they are the committed ones now
}

}  // namespace rt
