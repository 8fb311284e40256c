#include "train/config/config_keys.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include "core/check.hpp"

namespace rt {
namespace {

#define KEY(member) .name = #member, .slot = [](Config& c) -> Slot { return &c.member; }

constexpr double many = 1e15;  // whole numbers up to here are exact in a double
constexpr auto free_ = OnResume::free;
constexpr auto longer = OnResume::longer;

const std::vector<Key> table = {
    {KEY(device), .help = "what to compute on: cpu, cuda, cuda:N", .automatic = true, .on_resume = free_},
    {KEY(precision), .help = "number format of the computation; on the CPU f32, or bf16 for values in memory",
     .choices = {"f32", "bf16", "f16"}, .automatic = true},
    {KEY(threads), .help = "CPU threads of the kernels", .low = 1, .high = 1024, .automatic = true, .on_resume = free_},
    {KEY(pin), .help = "hold each worker thread to a CPU of its own; for a machine that runs nothing else",
     .choices = {"on", "off"}, .on_resume = free_},

    {KEY(run.dir), .help = "folder of a new run; empty: runs/<recipe>-<time>", .on_resume = free_},
    {KEY(run.seed), .help = "names every random number of the run", .high = many},

    {KEY(model.arch), .help = "network", .choices = {"resnet18", "resnet34", "resnet50"}},
    {KEY(model.stem), .help = "cifar: 3x3 without pooling; imagenet: 7x7/2 and max-pool",
     .choices = {"cifar", "imagenet"}, .automatic = true},
    {KEY(model.weights), .help = "safetensors file to start from; empty: fresh weights"},

    {KEY(data.source), .help = "format of data.dir", .choices = {"cifar10", "cifar100"}, .automatic = true},
    {KEY(data.dir), .help = "folder of the data set"},
    {KEY(data.workers), .help = "threads that prepare batches; 0: the training thread does", .high = 256,
     .automatic = true, .on_resume = free_},
    {KEY(data.val_fraction), .help = "share of the training set to evaluate on; 0: the test set", .high = 0.9},

    {KEY(augment.enabled), .help = "crop and flip training images at random"},
    {KEY(augment.crop_padding), .help = "pixels of zeros around the image before the crop; 0: no crop", .high = 64},
    {KEY(augment.flip), .help = "mirror half of the images"},

    {KEY(train.epochs), .help = "passes over the training set", .low = 1, .high = 1e6, .on_resume = longer},
    {KEY(train.steps), .help = "stop after that many updates; 0: by epochs", .high = many, .on_resume = longer},
    {KEY(train.batch), .help = "images per micro-batch", .low = 1, .high = 65536, .automatic = true},
    {KEY(train.accumulate), .help = "micro-batches per update", .low = 1, .high = 4096},
    {KEY(train.drop_last), .help = "leave out the last training batch of an epoch if it is not full"},
    {KEY(train.clip_norm), .help = "largest global gradient norm; 0: no clipping", .high = 1e6},
    {KEY(train.checkpoint_every), .help = "updates between checkpoints; 0: one each epoch", .high = many},
    {KEY(train.keep), .help = "newest checkpoints to keep", .low = 1, .high = 1e6, .on_resume = free_},
    {KEY(train.log_every), .help = "updates between lines in the metrics", .low = 1, .high = many, .on_resume = free_},

    {KEY(eval.every), .help = "epochs between evaluations; 0: only at the end", .high = 1e6},
    {KEY(eval.monitor), .help = "what selects the best model", .choices = {"loss", "top1"}},
    {KEY(eval.batch), .help = "images per batch of an evaluation", .low = 1, .high = 65536, .automatic = true},

    {KEY(optimizer.name), .help = "update rule", .choices = {"sgd"}},
    {KEY(optimizer.lr), .help = "peak learning rate", .low = 1e-12, .high = 1e3, .automatic = true},
    {KEY(optimizer.momentum), .help = "share of the last update that goes on", .high = 0.9999},
    {KEY(optimizer.nesterov), .help = "Nesterov's momentum"},
    {KEY(optimizer.weight_decay), .help = "L2 penalty on the weights", .high = 10},
    {KEY(optimizer.decay_bn_and_bias), .help = "weight decay on batch-norm parameters and biases too"},

    {KEY(schedule.name), .help = "course of the learning rate",
     .choices = {"constant", "step", "multistep", "cosine", "onecycle", "polynomial"}},
    {KEY(schedule.warmup_epochs), .help = "linear rise to the peak, in epochs", .high = 1e6, .automatic = true},
    {KEY(schedule.min_lr), .help = "where cosine and polynomial end; no schedule goes below", .high = 1e3},
    {KEY(schedule.step_epochs), .help = "step: epochs between cuts", .low = 1e-6, .high = 1e6},
    {KEY(schedule.milestones), .help = "multistep: epochs at which to cut, as [15, 25]", .high = 1e6},
    {KEY(schedule.gamma), .help = "step, multistep: factor of a cut", .low = 1e-6, .high = 1},
    {KEY(schedule.power), .help = "polynomial: exponent; 1 is a straight line", .low = 1e-3, .high = 100},
    {KEY(schedule.pct_start), .help = "onecycle: share of the steps that rise", .high = 0.99},
    {KEY(schedule.div_factor), .help = "onecycle: peak / first rate", .low = 1, .high = 1e9},
    {KEY(schedule.final_div_factor), .help = "onecycle: first rate / last rate", .low = 1, .high = 1e9},

    {KEY(loss.label_smoothing), .help = "probability spread evenly over the classes", .high = 0.99},

    {KEY(optimize.plan), .help = "trace a step once and replay it; false: run it eagerly"},
    {KEY(optimize.fuse), .help = "fuse neighbouring operators"},
    {KEY(optimize.unfused),
     .help = "rules of fusion to leave out, by name, separated by spaces (a wrong name lists all)"},
    {KEY(optimize.layout), .help = "compute in the layout that the device prefers", .automatic = true},
    {KEY(optimize.select), .help = "choose the fastest kernel of several"},
    {KEY(optimize.winograd), .help = "compute 3x3 convolutions by Winograd's algorithm where that is faster"},
    {KEY(optimize.autotune), .help = "time block sizes and prefetching on this CPU once; changes no result",
     .on_resume = free_},
    {KEY(optimize.memory), .help = "share memory by lifetime, work in place"},
    {KEY(optimize.recompute), .help = "make values again instead of storing them: the cheap ones, or whole blocks too",
     .choices = {"none", "cheap", "blocks"}, .automatic = true, .on_resume = free_},
    {KEY(optimize.graph), .help = "replay a step as one CUDA graph", .automatic = true, .on_resume = free_},
    {KEY(optimize.resident), .help = "keep the images on the GPU", .automatic = true, .on_resume = free_},
    {KEY(optimize.deterministic), .help = "same bits in every run (the CPU kernels always give them)"},
    {KEY(optimize.self_test), .help = "compare each CUDA kernel with the CPU before the first step"},
};
#undef KEY

// Levenshtein's distance.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0]++;
    for (size_t j = 1; j <= b.size(); ++j)
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])}));
  }
  return row.back();
}

std::string_view leaf(std::string_view name) { return name.substr(name.rfind('.') + 1); }

std::string number(double value) {
  std::string text = rt::format("{}", value);
  return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      out += rt::format("\\u{:04X}", static_cast<unsigned>(c));
    else
      out += c;
  }
  return out + '"';
}

struct ValueText {
  std::string operator()(const bool* v) const { return *v ? "true" : "false"; }
  std::string operator()(const int* v) const { return rt::format("{}", *v); }
  std::string operator()(const int64_t* v) const { return rt::format("{}", *v); }
  std::string operator()(const double* v) const { return number(*v); }
  std::string operator()(const std::string* v) const { return quoted(*v); }
  std::string operator()(const std::vector<double>* v) const {
    std::vector<std::string> parts;
    for (const double x : *v) parts.push_back(number(x));
    return rt::format("[{}]", joined(parts, ", "));
  }
};

}  // namespace

std::span<const Key> config_keys() { return table; }

const Key* find_key(std::string_view name) {
  const auto found = std::find_if(table.begin(), table.end(), [&](const Key& key) { return key.name == name; });
  return found == table.end() ? nullptr : &*found;
}

const Key& nearest_key(std::string_view name) {
  // A right name under a wrong (or no) table is as likely as a slip of the finger: it costs two letters.
  const auto cost = [&](const Key& key) {
    return std::min(edit_distance(name, key.name), 2 + edit_distance(leaf(name), leaf(key.name)));
  };
  return *std::min_element(table.begin(), table.end(), [&](const Key& a, const Key& b) { return cost(a) < cost(b); });
}

std::string allowed_text(const Key& key) {
  Config scratch;
  const Slot slot = key.slot(scratch);
  if (!key.choices.empty()) {
    std::vector<std::string_view> choices = key.choices;
    if (key.automatic) choices.push_back("auto");
    return rt::format("{}{}", choices.size() > 2 ? "one of " : "", joined(choices, choices.size() > 2 ? ", " : " or "));
  }
  std::string text = rt::format("from {} to {}", key.low, key.high);
  if (std::holds_alternative<bool*>(slot))
    text = "true or false";
  else if (std::holds_alternative<std::string*>(slot))
    text = "text";
  else if (std::holds_alternative<double*>(slot))
    text = "a number " + text;
  else if (std::holds_alternative<std::vector<double>*>(slot))
    text = "a list of numbers " + text;
  else
    text = "a whole number " + text;
  return key.automatic ? text + ", or auto" : text;
}

std::string value_text(const Config& config, const Key& key) {
  return std::visit(ValueText{}, key.slot(const_cast<Config&>(config)));  // a slot serves reading and writing
}

}  // namespace rt
