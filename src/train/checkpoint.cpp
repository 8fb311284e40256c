#include "train/checkpoint.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/log.hpp"

namespace rt {
namespace {

constexpr const char* loop_key = "rtrain.loop";

// "optimizer.momentum.conv1.weight"
std::string tensor_name(std::string_view slot, std::string_view parameter) {
  return rt::format("optimizer.{}.{}", slot, parameter);
}

nlohmann::json to_json(const LoopState& s) {
  nlohmann::json j = {
      {"step", s.step},         {"epoch", s.epoch}, {"position", s.position},       {"evaluated", s.evaluated},
      {"loss_sum", s.loss_sum}, {"top1", s.top1},   {"fingerprint", s.fingerprint}, {"data", s.data}};
  if (s.best) j["best"] = *s.best;
  return j;
}

LoopState from_json(const nlohmann::json& j) {
  LoopState s;
  j.at("step").get_to(s.step);
  j.at("epoch").get_to(s.epoch);
  j.at("position").get_to(s.position);
  j.at("evaluated").get_to(s.evaluated);
  j.at("loss_sum").get_to(s.loss_sum);
  j.at("top1").get_to(s.top1);
  j.at("data").get_to(s.data);
  j.at("fingerprint").get_to(s.fingerprint);
  if (j.contains("best")) s.best = j.at("best").get<double>();
  return s;
}

// What read(json) makes of the loop's state in a file.
template <class Read>
auto read_loop(const SafetensorsFile& file, Read&& read) {
  const auto it = file.metadata().find(loop_key);
  if (it == file.metadata().end())
    fail(ExitCode::data, "{}: not a checkpoint: its metadata hold no '{}'", file.path(), loop_key);
  try {
    return read(nlohmann::json::parse(it->second));
  } catch (const nlohmann::json::exception& e) {
    fail(ExitCode::data, "{}: its '{}' cannot be read: {}", file.path(), loop_key, e.what());
  }
}

void write_control(nlohmann::json& j, const ModelState& state) {
  const float* control = state.control_values();
  j["control"] = std::vector<double>(control, control + 4);  // loss scaling goes on where it was
  j["updates"] = state.updates_done();
}

// Older files hold no count of updates, which are all steps but the skipped ones, and still older ones no loss scale.
void read_control(const nlohmann::json& j, ModelState& state) {
  float* values = state.control_values();
  if (j.contains("control")) {
    const auto control = j.at("control").get<std::array<float, 4>>();
    std::copy(control.begin(), control.end(), values);
  }
  const Control control{.scale = values[0], .good = values[1], .skipped = values[2], .stop = values[3]};
  state.updates_done() = j.contains("updates") ? j.at("updates").get<int32_t>()
                                               : j.at("step").get<int32_t>() - static_cast<int32_t>(control.skipped);
}

void read_slot(const SafetensorsFile& file, const ModelState& state, std::string_view slot) {
  for (const NamedView& v : state.in_slot(slot)) {
    const std::string name = tensor_name(slot, v.name);
    const TensorInfo* t = file.find(name);
    if (!t) fail(ExitCode::data, "{}: tensor '{}' is missing, which the optimizer goes on from", file.path(), name);
    if (t->dtype != "F32" || t->bytes != v.view.spec.bytes())
      fail(ExitCode::data, "{}: tensor '{}' is {} [{}], this model needs F32 {}", file.path(), name, t->dtype,
           joined(t->shape, ","), v.view.shape().str());
    std::memcpy(v.view.data, t->data, t->bytes);
  }
}

}  // namespace

void CheckpointFolder::save(const LoopState& loop, const ModelInfo& info, const ModelState& state) const {
  std::vector<TensorInfo> tensors = state_dict(state);
  for (std::string_view slot : state.slots())
    for (const NamedView& v : state.in_slot(slot)) {
      const auto same =
          std::find_if(tensors.begin(), tensors.end(), [&](const TensorInfo& t) { return t.name == v.name; });
      tensors.push_back({.name = tensor_name(slot, v.name),
                         .dtype = "F32",
                         .shape = same->shape,
                         .data = static_cast<const std::byte*>(v.view.data),
                         .bytes = v.view.spec.bytes()});
    }
  Metadata metadata = model_metadata(info);
  nlohmann::json j = to_json(loop);
  write_control(j, state);
  metadata[loop_key] = j.dump();
  std::filesystem::create_directories(folder_);
  const std::string path = rt::format("{}/step-{:09}.safetensors", folder_, loop.step);
  write_safetensors(path, tensors, metadata);
  // A file that stays behind costs space, nothing else.
  std::error_code ignored;
  int kept = 0;
  for (const std::string& file : newest_first()) {
    if (file > path)
      std::filesystem::rename(file, file + ".damaged", ignored);
    else if (++kept > keep_)
      std::filesystem::remove(file, ignored);
  }
  // Writes that a kill cut short.
  for (const auto& entry : std::filesystem::directory_iterator(folder_, ignored))
    if (entry.path().extension() == ".tmp") std::filesystem::remove(entry.path(), ignored);
}

std::vector<std::string> CheckpointFolder::newest_first() const {
  std::vector<std::string> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("step-") && name.ends_with(".safetensors")) files.push_back(entry.path().string());
  }
  std::sort(files.rbegin(), files.rend());  // the step is zero-padded
  return files;
}

CheckpointFolder::Loaded CheckpointFolder::load_newest() const {
  std::string skipped;
  for (const std::string& path : newest_first()) {
    try {
      SafetensorsFile file = SafetensorsFile::open(path);
      LoopState loop = read_loop(file, from_json);
      ModelInfo info = read_model_info(file);
      return {.loop = std::move(loop), .info = std::move(info), .file = std::move(file)};
    } catch (const Error& e) {
      if (e.code() != ExitCode::data) throw;
      log_warning("skipping a damaged checkpoint: {}", e.what());
      skipped += rt::format("\n  {}", e.what());
    }
  }
  fail(ExitCode::data, "{}: no checkpoint to resume from{}{}", folder_,
       skipped.empty() ? ": the run ended before its first one, start it again in a new folder"
                       : "; these were skipped:",
       skipped);
}

void restore(const CheckpointFolder::Loaded& checkpoint, const Model& model, ModelState& state) {
  load_weights(checkpoint.file, model, state, Head::must_fit);
  for (std::string_view slot : state.slots()) read_slot(checkpoint.file, state, slot);
  read_loop(checkpoint.file, [&](const nlohmann::json& j) { read_control(j, state); });
  state.push();
}

}  // namespace rt
