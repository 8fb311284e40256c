#include "bench/ablate.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "bench/child.hpp"
#include "bench/commands.hpp"
#include "bench/figures.hpp"
#include "bench/optimisations.hpp"
#include "core/log.hpp"
#include "tools/words.hpp"
#include "train/config/device_choice.hpp"

namespace rt {
namespace {

using Arguments = std::vector<std::string>;

struct Configuration {
  std::string group, name;
  Arguments words;
};

class Ablation {
 public:
  explicit Ablation(const AblateOptions& o)
      : o_(o), list_(optimisations(choose_device(o.workload.device, "--device").device, o.names)) {}

  int run() {
    leave_out_refused();
    arrange();
    for (int round = 0; round < o_.rounds; ++round) measure(round);
    o_.json ? print_json() : print_table();
    return failed_.empty() ? 0 : static_cast<int>(ExitCode::runtime);
  }

 private:
  ChildResult run_step(const WorkloadOptions& workload, const Arguments& switches, int repeat, int steps) const {
    Arguments words = step_words(workload, repeat, steps, o_.within_rtrain);
    words.insert(words.end(), switches.begin(), switches.end());
    return run_self(words);
  }

  // A tiny step with each one on says whether this build and machine have it.
  void leave_out_refused() {
    WorkloadOptions tiny = o_.workload;
    tiny.batch = 2;
    tiny.side = 16;
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

  Arguments words_for(const std::vector<bool>& on) const {
    Arguments words;
    for (size_t i = 0; i < list_.size(); ++i) {
      const Arguments& more = on[i] ? list_[i].on : list_[i].off;
      words.insert(words.end(), more.begin(), more.end());
    }
    return words;
  }

  void arrange() {
    const size_t n = list_.size();
    std::vector<bool> on(n, false);
    add("together", "baseline", words_for(on));
    for (size_t i = 0; i < n; ++i) {
      on[i] = true;
      add("together", "+ " + list_[i].name, words_for(on));
    }
    for (size_t i = 0; i < n; ++i) {
      std::vector<bool> one(n, false);
      one[i] = true;
      std::string name = list_[i].name;
      Arguments with;
      for (size_t k = 0; k < n; ++k)
        if (std::find(list_[i].needs.begin(), list_[i].needs.end(), list_[k].name) != list_[i].needs.end()) {
          one[k] = true;
          with.push_back(list_[k].name);
        }
      if (!with.empty()) name += rt::format(" (with {})", joined(with, ", "));
      add("alone", name, words_for(one));
    }
    for (size_t i = 0; i < n; ++i) {
      std::vector<bool> rest(n, true);
      rest[i] = false;
      add("without", list_[i].name, words_for(rest));
    }
  }

  void add(const std::string& group, const std::string& name, const Arguments& words) {
    rows_.push_back({.group = group, .name = name, .words = words});
    // Many configurations stand in two groups.
    if (std::find(distinct_.begin(), distinct_.end(), words) == distinct_.end()) distinct_.push_back(words);
  }

  // Every other round runs backwards, so that a machine that drifts steadily favours none.
  void measure(int round) {
    for (size_t i = 0; i < distinct_.size(); ++i) {
      const Arguments& words = distinct_[round % 2 == 0 ? i : distinct_.size() - 1 - i];
      if (failed_.contains(words)) continue;
      log_status(rt::format("round {} of {}, configuration {} of {}", round + 1, o_.rounds, i + 1, distinct_.size()));
      const ChildResult result = run_step(o_.workload, words, o_.repeat, o_.steps);
      if (result.exit_code == 0) {
        measured_[words].push_back(nlohmann::json::parse(result.output));
      } else {
        failed_[words] = result.reason;
        measured_.erase(words);
      }
    }
    log_status("");
  }

  Spread figure(const Arguments& words, const char* key) const {
    std::vector<double> values;
    for (const nlohmann::json& run : measured_.at(words)) values.push_back(run.at(key).get<double>());
    return spread_of(values);
  }

  struct Figures {
    Spread step_ms;  // its range is over every timed repeat
    double images_per_s, peak_mib;
    double speed = 0, memory = 0;  // relative to the baseline, where that ran
  };
  Figures figures(const Arguments& words) const {
    const double step_ms = figure(words, "step_ms").median;
    Figures f{
        .step_ms = {step_ms, figure(words, "step_ms_min").least, figure(words, "step_ms_max").most},
        .images_per_s = 1000 * static_cast<double>(o_.workload.batch) / step_ms,
        .peak_mib = figure(words, "peak_mib").median,
    };
    if (const Arguments& baseline = rows_[0].words; measured_.contains(baseline)) {
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
    rt::print("{}, {} stem, batch {}, {}; medians of {} processes each\n", w.arch, w.stem, w.batch, machine_text(),
              o_.rounds);
    std::string group;
    size_t width = 0;
    for (const Configuration& c : rows_) width = std::max(width, c.name.size());
    for (const Configuration& c : rows_) {
      if (c.group != group) {
        group = c.group;
        rt::print("{:<{}} {:>10} {:>10}  {:>23} {:>9} {:>8} {:>8}\n", group, width + 2, "images/s", "step ms",
                  "min .. max", "peak MiB", "speed", "memory");
      }
      if (const auto why = failed_.find(c.words); why != failed_.end()) {
        rt::print("  {:<{}} failed: {}\n", c.name, width, why->second);
        continue;
      }
      const Figures f = figures(c.words);
      rt::print("  {:<{}} {:>10.1f} {:>10.2f}  {:>10.2f} .. {:>9.2f} {:>9.0f} {:>7.2f}x {:>7.2f}x\n", c.name, width,
                f.images_per_s, f.step_ms.median, f.step_ms.least, f.step_ms.most, f.peak_mib, f.speed, f.memory);
    }
    for (const auto& [name, reason] : left_out_) rt::print("left out: {}: {}\n", name, reason);
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
      nlohmann::ordered_json row = {{"group", c.group}, {"name", c.name}, {"settings", joined(c.words, " ")}};
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
    rt::print("{}\n", j.dump(1));
  }

  const AblateOptions& o_;
  std::vector<Optimisation> list_;
  std::vector<std::pair<std::string, std::string>> left_out_;  // name, reason
  std::vector<Configuration> rows_;
  std::vector<Arguments> distinct_;
  std::map<Arguments, std::vector<nlohmann::json>> measured_;  // what `rbench step --json` said, by round
  std::map<Arguments, std::string> failed_;
};

}  // namespace

int run_ablation(const AblateOptions& options) { return Ablation(options).run(); }

const Verb ablate_command = {
    .name = "ablate",
    .help = R"(Time a training step with each optimisation alone, together with those before it, and left out.

  {0}
  {0} fuse winograd --batch 32 --json

--ablate is another spelling.)",
    .add = [](CLI::App& command) -> std::function<int()> {
      const auto o = std::make_shared<AblateOptions>();
      const auto words = std::make_shared<std::vector<std::string>>();
      o->within_rtrain = within_rtrain(command);
      add_workload(command, o->workload);
      command.add_option("words", *words, "optimisations to look at (all where none is named); optimize.* switches")
          ->type_name("[NAME]... [key=value]...");
      command.add_option("--rounds", o->rounds, "processes for each configuration")
          ->check(CLI::Range(1, 100))
          ->capture_default_str();
      add_repeats(command, o->repeat, o->steps, "timed repeats in each");
      add_json(command, o->json);
      return [o, words] {
        const Words split = split_words(*words);
        o->names = split.names;
        o->workload.settings = split.settings;
        return run_ablation(*o);
      };
    },
};

}  // namespace rt
