#include "train/survey_file.hpp"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "train/files/files.hpp"

namespace rt {
namespace {

constexpr int version = 1;
constexpr size_t most_bytes = size_t{1} << 30;

// What the set must have in common with the one that was surveyed.
nlohmann::json origin_of(const Dataset& data, const std::vector<FileStamp>& stamps) {
  nlohmann::json files = nlohmann::json::array();
  for (const FileStamp& f : stamps)
    files.push_back({{"name", f.name}, {"bytes", f.bytes}, {"mtime_ns", f.mtime_ns}, {"ctime_ns", f.ctime_ns}});
  const DatasetInfo& info = data.info();
  return {{"images", data.size()},
          {"channels", info.image.channels},
          {"height", info.image.height},
          {"width", info.image.width},
          {"files", files}};
}

}  // namespace

void keep_survey(const std::string& path, const Survey& survey, const Dataset& data) {
  const std::vector<FileStamp> stamps = data.files();
  if (stamps.empty()) return;
  const nlohmann::json kept = {{"version", version},
                               {"checksum", survey.checksum},
                               {"mean", survey.statistics.mean},
                               {"std", survey.statistics.std},
                               {"of", origin_of(data, stamps)}};
  atomic_write(path, kept.dump(1) + "\n");
}

std::optional<Survey> kept_survey(const std::string& path, const Dataset& data) {
  const std::vector<FileStamp> stamps = data.files();
  if (stamps.empty() || !std::filesystem::exists(path)) return std::nullopt;
  try {
    const nlohmann::json kept = nlohmann::json::parse(read_whole_file(path, most_bytes, ExitCode::data));
    if (kept.at("version") != version || kept.at("of") != origin_of(data, stamps)) return std::nullopt;
    Survey survey{.checksum = kept.at("checksum").get<std::string>()};
    kept.at("mean").get_to(survey.statistics.mean);
    kept.at("std").get_to(survey.statistics.std);
    return survey;
  } catch (const nlohmann::json::exception&) {  // damaged: the images are read again
    return std::nullopt;
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace rt
