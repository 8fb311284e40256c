#include "bench/ablate.hpp"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "bench/child.hpp"
#include "bench/figures.hpp"
#include "core/log.hpp"
#include "train/config/device_choice.hpp"

namespace rt {
namespace {

using Words = std::vector<std::string>;

struct Optimisation {
  std::string name;
  Words on, off;  // for `rbench step`
  Words needs;    // others, without which it does nothing
};

Optimisation switched(const std::string& name, const Words& needs = {}) {
  return {name, {"optimize." + name + "=true"}, {"optimize." + name + "=false"}, needs};
}

// In the order in which they are added.
std::vector<Optimisation> optimisations(Device device) {
  if (device == Device::cuda)
    return {switched("plan"),
            switched("fuse", {"plan"}),
            switched("memory", {"plan"}),
            switched("layout"),
            switched("resident"),
            switched("graph", {"plan"}),
            {"precision", {"--precision", "auto"}, {"--precision", "f32"}, {}}};
  return {switched("plan"),
          switched("fuse", {"plan"}),
          switched("winograd"),
          {"conv2d_fusion",
           {"optimize.unfused="},
           {"optimize.unfused=conv2d.stats conv2d.on_load conv2d.add_sums conv2d.add"},
           {"plan", "fuse", "winograd"}},
          switched("memory", {"plan"}),
          {"recompute", {"optimize.recompute=cheap"}, {"optimize.recompute=none"}, {"plan", "memory"}},
          {"workers and prefetch", {"--workers", "1"}, {"--workers", "0"}, {}},  // without a worker none is ahead
          {"bf16", {"--precision", "bf16"}, {"--precision", "f32"}, {}}};
}

struct Configuration {
  std::string group, name;
  Words words;
};

class Ablation {
 public:
  explicit Ablation(const AblateOptions& o) : o_(o), list_(chosen()) {}

  int run() {
    leave_out_refused();
    arrange();
    for (int round = 0; round < o_.rounds; ++round) measure(round);
    o_.json ? print_json() : print_table();
    return failed_.empty() ? 0 : static_cast<int>(ExitCode::runtime);
  }

 private:
  std::vector<Optimisation> chosen() const {
    const std::vector<Optimisation> all = optimisations(choose_device(o_.workload.device, "--device").device);
    if (o_.names.empty()) return all;
    auto word = [](const Optimisation& x) { return x.name.substr(0, x.name.find(' ')); };  // one on a command line
    std::vector<Optimisation> some;
    for (const Optimisation& x : all)
      if (std::find(o_.names.begin(), o_.names.end(), word(x)) != o_.names.end()) some.push_back(x);
    for (const std::string& name : o_.names) {
      Words known;
      for (const Optimisation& x : all) known.push_back(word(x));
      if (std::find(known.begin(), known.end(), name) == known.end())
        fail(ExitCode::usage, "rbench ablate: there is no optimisation '{}' on this device; there are {}", name,
             fmt::join(known, ", "));
    }
    return some;
  }

  ChildResult run_step(const WorkloadOptions& workload, const Words& switches, int repeat, int steps) const {
    Words words = step_words(workload, repeat, steps, o_.within_rtrain);
    words.insert(words.end(), switches.begin(), switches.end());
    return run_self(words);
  }

  // A tiny step with each one on says whether this build and machine have it.
  void leave_out_refused() {
    WorkloadOptions tiny = o_.workload;
    tiny.batch = 2, tiny.side = 16;
    if (const ChildResult bare = run_step(tiny, {}, 1, 1); bare.exit_code != 0)
      fail(static_cast<ExitCode>(bare.exit_code), "{}", bare.reason);
    std::erase_if(list_, [&](const Optimisation& x) {
      const ChildResult result = run_step(tiny, x.on, 1, 1);
      if (result.exit_code == 0) return false;
      left_out_.push_back({x.name, result.reason});
      log_info("left out: {}: {}", x.name, result.reason);
      return true;
    });
    if (list_.empty()) fail(ExitCode::usage, "rbench ablate: nothing is left to switch on");
  }

  Words words_for(const std::vector<bool>& on) const {
    Words words;
    for (size_t i = 0; i < list_.size(); ++i) {
      const Words& more = on[i] ? list_[i].on : list_[i].off;
      words.insert(words.end(), more.begin(), more.end());
    }
    return words;
  }

  void arrange() {
    const size_t n = list_.size();
    std::vector<bool> on(n, false);
    rows_.push_back({"together", "baseline", words_for(on)});
    for (size_t i = 0; i < n; ++i) {
      on[i] = true;
      rows_.push_back({"together", "+ " + list_[i].name, words_for(on)});
    }
    for (size_t i = 0; i < n; ++i) {
      std::vector<bool> one(n, false);
      one[i] = true;
      std::string name = list_[i].name;
      Words with;
      for (size_t k = 0; k < n; ++k)
        if (std::find(list_[i].needs.begin(), list_[i].needs.end(), list_[k].name) != list_[i].needs.end())
          one[k] = true, with.push_back(list_[k].name);
      if (!with.empty()) name += fmt::format(" (with {})", fmt::join(with, ", "));
      rows_.push_back({"alone", name, words_for(one)});
    }
    for (size_t i = 0; i < n; ++i) {
      std::vector<bool> rest(n, true);
      rest[i] = false;
      rows_.push_back({"without", list_[i].name, words_for(rest)});
    }
    for (const Configuration& c : rows_)  // many stand in two groups
      if (std::find(distinct_.begin(), distinct_.end(), c.words) == distinct_.end()) distinct_.push_back(c.words);
  }

  // Every other round runs backwards, so that a machine that drifts steadily favours none.
  void measure(int round) {
    for (size_t i = 0; i < distinct_.size(); ++i) {
      const Words& words = distinct_[round % 2 == 0 ? i : distinct_.size() - 1 - i];
      if (failed_.contains(words)) continue;
      log_status(fmt::format("round {} of {}, configuration {} of {}", round + 1, o_.rounds, i + 1, distinct_.size()));
      const ChildResult result = run_step(o_.workload, words, o_.repeat, o_.steps);
      if (result.exit_code == 0)
        measured_[words].push_back(nlohmann::json::parse(result.output));
      else
        failed_[words] = result.reason, measured_.erase(words);
    }
    log_status("");
  }

  Spread figure(const Words& words, const char* key) const {
    std::vector<double> values;
    for (const nlohmann::json& run : measured_.at(words)) values.push_back(run.at(key).get<double>());
    return spread_of(values);
  }

  struct Figures {
    Spread step_ms;                                        // its range over every timed repeat
    double images_per_s, peak_mib, speed = 0, memory = 0;  // the last two relative to the baseline, where that ran
  };
  Figures figures(const Words& words) const {
    const double step_ms = figure(words, "step_ms").median;
    Figures f{{step_ms, figure(words, "step_ms_min").least, figure(words, "step_ms_max").most},
              1000 * static_cast<double>(o_.workload.batch) / step_ms,
              figure(words, "peak_mib").median};
    if (const Words& baseline = rows_[0].words; measured_.contains(baseline)) {
      f.speed = figure(baseline, "step_ms").median / step_ms;
      f.memory = f.peak_mib / figure(baseline, "peak_mib").median;
    }
    return f;
  }

  std::string machine_text() const {
    return measured_.empty() ? "" : measured_.begin()->second[0].at("device_name").get<std::string>();
  }

  void print_table() const {
    const WorkloadOptions& w = o_.workload;
    fmt::print("{}, {} stem, batch {}, {}; medians of {} processes each\n", w.arch, w.stem, w.batch, machine_text(),
               o_.rounds);
    std::string group;
    size_t width = 0;
    for (const Configuration& c : rows_) width = std::max(width, c.name.size());
    for (const Configuration& c : rows_) {
      if (c.group != group)
        fmt::print("{:<{}} {:>10} {:>10}  {:>23} {:>9} {:>8} {:>8}\n", group = c.group, width + 2, "images/s",
                   "step ms", "min .. max", "peak MiB", "speed", "memory");
      if (const auto why = failed_.find(c.words); why != failed_.end()) {
        fmt::print("  {:<{}} failed: {}\n", c.name, width, why->second);
        continue;
      }
      const Figures f = figures(c.words);
      fmt::print("  {:<{}} {:>10.1f} {:>10.2f}  {:>10.2f} .. {:>9.2f} {:>9.0f} {:>7.2f}x {:>7.2f}x\n", c.name, width,
                 f.images_per_s, f.step_ms.median, f.step_ms.least, f.step_ms.most, f.peak_mib, f.speed, f.memory);
    }
    for (const auto& [name, reason] : left_out_) fmt::print("left out: {}: {}\n", name, reason);
  }

  void print_json() const {
    const WorkloadOptions& w = o_.workload;
    nlohmann::ordered_json j = provenance();
    j.update({{"machine", machine_text()},
              {"arch", w.arch},
              {"stem", w.stem},
              {"batch", w.batch},
              {"rounds", o_.rounds},
              {"rows", nlohmann::ordered_json::array()},
              {"left_out", nlohmann::ordered_json::array()}});
    for (const Configuration& c : rows_) {
      nlohmann::ordered_json row = {
          {"group", c.group}, {"name", c.name}, {"settings", fmt::format("{}", fmt::join(c.words, " "))}};
      if (const auto why = failed_.find(c.words); why != failed_.end()) {
        row["failed"] = why->second;
      } else {
        const Figures f = figures(c.words);
        row.update({{"step_ms", f.step_ms.median},
                    {"step_ms_min", f.step_ms.least},
                    {"step_ms_max", f.step_ms.most},
                    {"images_per_s", f.images_per_s},
                    {"peak_mib", f.peak_mib},
                    {"speed", f.speed},
                    {"memory", f.memory}});
      }
      j["rows"].push_back(std::move(row));
    }
    for (const auto& [name, reason] : left_out_) j["left_out"].push_back({{"name", name}, {"reason", reason}});
    fmt::print("{}\n", j.dump(1));
  }

  const AblateOptions& o_;
  std::vector<Optimisation> list_;
  std::vector<std::pair<std::string, std::string>> left_out_;  // name, reason
  std::vector<Configuration> rows_;
  std::vector<Words> distinct_;
  std::map<Words, std::vector<nlohmann::json>> measured_;  // what `rbench step --json` said, by round
  std::map<Words, std::string> failed_;
};

}  // namespace

int run_ablation(const AblateOptions& options) { return Ablation(options).run(); }

}  // namespace rt
