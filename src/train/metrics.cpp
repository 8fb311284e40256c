#include "train/metrics.hpp"

#include <cmath>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

namespace rt {
namespace {

constexpr const char* csv_header = "event,step,epoch,loss,lr,grad_norm,images_per_s,data_wait_ms,top1,top5\n";

std::string json_number(double value) { return std::isfinite(value) ? rt::format("{}", value) : "null"; }

struct Event {
  std::string kind;
  int64_t step;
};

std::optional<Event> parse_jsonl(const std::string& line) {
  const auto object = nlohmann::json::parse(line, nullptr, false);
  if (!object.is_object() || !object.contains("event") || !object["event"].is_string() || !object.contains("step") ||
      !object["step"].is_number_integer())
    return {};
  return Event{object["event"], object["step"]};
}

std::optional<Event> parse_csv(const std::string& line) {
  std::istringstream in(line);
  Event event;
  if (!std::getline(in, event.kind, ',') || !(in >> event.step) || in.get() != ',') return {};
  return event;
}

void keep_lines(const std::string& path, const std::function<bool(const std::string&)>& keeps) {
  if (!std::filesystem::exists(path)) return;
  const std::string text = read_whole_file(path, SIZE_MAX / 2, ExitCode::runtime);
  std::string kept;
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
    if (keeps(text.substr(begin, end - begin))) kept.append(text, begin, end - begin + 1);
  if (kept != text) atomic_write(path, kept);
}

}  // namespace

Metrics::Metrics(const std::string& csv_path, const std::string& jsonl_path) : csv_(csv_path), jsonl_(jsonl_path) {
  if (csv_.empty()) csv_.append(csv_header);
}

void Metrics::add(const TrainEvent& e) {
  const std::string numbers =
      rt::format(R"("loss":{},"lr":{},"grad_norm":{},"images_per_s":{},"data_wait_ms":{})", json_number(e.loss),
                 json_number(e.lr), json_number(e.grad_norm), json_number(e.images_per_s), json_number(e.data_wait_ms));
  jsonl_.append(
      rt::format("{{\"event\":\"train\",\"step\":{},\"epoch\":{},{}}}\n", e.step, json_number(e.epoch), numbers));
  csv_.append(rt::format("train,{},{},{},{},{},{},{},,\n", e.step, e.epoch, e.loss, e.lr, e.grad_norm, e.images_per_s,
                         e.data_wait_ms));
}

void Metrics::add(const EvalEvent& e) {
  const std::string json =
      rt::format(R"({{"event":"eval","step":{},"epoch":{},"loss":{},"top1":{},"top5":{}}})", e.step,
                 json_number(e.epoch), json_number(e.loss), json_number(e.top1), json_number(e.top5));
  jsonl_.append(json + "\n");
  csv_.append(rt::format("eval,{},{},{},,,,,{},{}\n", e.step, e.epoch, e.loss, e.top1, e.top5));
}

void truncate_metrics_after(const std::string& csv_path, const std::string& jsonl_path, int64_t step, bool evaluated) {
  const auto happened = [&](const std::optional<Event>& event) {
    return event && (event->step < step || (event->step == step && (evaluated || event->kind != "eval")));
  };
  keep_lines(csv_path, [&](const std::string& line) { return line + "\n" == csv_header || happened(parse_csv(line)); });
  keep_lines(jsonl_path, [&](const std::string& line) { return happened(parse_jsonl(line)); });
}

}  // namespace rt
