#include "train/config/config_keys.hpp"

#include <algorithm>

#include "core/check.hpp"
#include "core/edit_distance.hpp"
#include "data/sources.hpp"
#include "layers/models.hpp"

namespace rt {
namespace {

#define KEY(path) .name = #path, .member = [](Config& c) -> Member { return &c.path; }

constexpr double many = 1e15;  // whole numbers up to here are exact in a double
constexpr auto free_ = OnResume::free;
constexpr auto longer = OnResume::longer;

const std::vector<Key> table = {
    {KEY(device), .help = "what to compute on: cpu, cuda, cuda:N", .automatic = true, .of_the_machine = true,
     .on_resume = free_,
     .details =
         R"(`auto` takes the first GPU that can be used, and the CPU where there is none; `cuda` insists on a GPU,
      `cuda:1` on the second.)"},
    {KEY(precision), .help = "number format of the computation", .choices = {"f32", "bf16", "f16"}, .automatic = true,
     .details =
         R"(`auto` is f32 on the CPU; on a GPU it follows the card: f32 below compute capability 7.0, f16 from 7.0,
      bf16 from 8.0. On the CPU `bf16` is how values lie in memory, half as large, while sums and transforms stay f32,
      and `f16` is refused. With f16 the loss is scaled, and the scale adjusts itself.)"},
    {KEY(threads), .help = "CPU threads of the kernels", .low = 1, .high = 1024, .automatic = true,
     .of_the_machine = true, .on_resume = free_},
    {KEY(pin), .help = "hold each worker thread to a CPU of its own", .choices = {"on", "off"}, .on_resume = free_,
     .details =
         "For a machine that runs nothing else: beside other programs, threads that may move get a larger share."},

    {KEY(run.dir), .help = "folder of a new run; empty: runs/<recipe>-<time>", .on_resume = free_},
    {KEY(run.seed), .help = "names every random number of the run", .high = many},

    {KEY(model.arch), .help = "network", .choices = architecture_names()},
    {KEY(model.stem), .help = "cifar: full resolution, for small images; imagenet: as published",
     .choices = {stems.begin(), stems.end()}, .automatic = true},
    {KEY(model.weights), .help = "safetensors file to start from; empty: fresh weights"},

    {KEY(data.source), .help = "format of data.dir", .choices = source_names(), .automatic = true},
    {KEY(data.dir), .help = "folder of the data set",
     .details = "`rtrain train DIR` is short for `rtrain train data.dir=DIR`."},
    {KEY(data.workers), .help = "threads that prepare batches; 0: the training thread", .high = 256, .automatic = true,
     .of_the_machine = true, .on_resume = free_},
    {KEY(data.val_fraction), .help = "share of the training set to evaluate on; 0: the test set", .high = 0.9},

    {KEY(augment.enabled), .help = "crop and flip training images at random"},
    {KEY(augment.crop_padding), .help = "zeros around an image before the crop, pixels; 0: no crop", .high = 64},
    {KEY(augment.flip), .help = "mirror half of the images"},

    {KEY(train.epochs), .help = "passes over the training set", .low = 1, .high = 1e6, .on_resume = longer},
    {KEY(train.steps), .help = "updates after which to stop; 0: by epochs", .high = many, .on_resume = longer},
    {KEY(train.batch), .help = "images per micro-batch", .low = 1, .high = 65536, .automatic = true,
     .details = R"(`auto` is 128, or less where the data set is small or memory is short. On a GPU the batch is checked
      against its memory before anything starts, and the error says what fits.)"},
    {KEY(train.accumulate), .help = "micro-batches per update", .low = 1, .high = 4096},
    {KEY(train.drop_last), .help = "leave out the last training batch of an epoch if it is not full"},
    {KEY(train.clip_norm), .help = "largest global gradient norm; 0: no clipping", .high = 1e6},
    {KEY(train.checkpoint_every), .help = "updates between checkpoints; 0: one each epoch", .high = many},
    {KEY(train.keep), .help = "newest checkpoints to keep", .low = 1, .high = 1e6, .on_resume = free_},
    {KEY(train.log_every), .help = "updates between lines in the metrics", .low = 1, .high = many, .on_resume = free_},

    {KEY(eval.every), .help = "epochs between evaluations; 0: only at the end", .high = 1e6},
    {KEY(eval.monitor), .help = "what selects the best model", .choices = {"loss", "top1"}},
    {KEY(eval.batch), .help = "images per batch of an evaluation", .low = 1, .high = 65536, .automatic = true},

    {KEY(optimizer.name), .help = "update rule", .choices = optimizer_names()},
    {KEY(optimizer.lr), .help = "peak learning rate", .low = 1e-12, .high = 1e3, .automatic = true,
     .details = "`auto` is 0.1 x min(images per update, 256) / 256."},
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

    {KEY(optimize.plan), .help = "trace a step once and replay it", .on = "a step is traced once and replayed",
     .off = "each op runs as it is called"},
    {KEY(optimize.fuse), .help = "compute adjacent ops in one step",
     .on =
         R"(batch norm, addition and ReLU are one step, forward and backward; so are the loss with its gradient, and the
      update; on the CPU convolutions do most of batch norm's work as they read and write)",
     .off = "each op is a step of its own"},
    {KEY(optimize.unfused), .help = "names of fusion rules to leave out; a wrong one lists all",
     .details = "Names are separated by spaces."},
    {KEY(optimize.layout), .help = "compute in the layout that the device prefers", .automatic = true,
     .of_the_machine = true, .on = "the device's order: NHWC on the CPU and on tensor cores, NCHW on older cards",
     .off = "NCHW; slow on the CPU, where only the reference kernels work in it"},
    {KEY(optimize.select), .help = "choose the fastest kernel of several", .on = "the best kernel that fits a step",
     .off = "the reference kernel"},
    {KEY(optimize.winograd), .help = "compute 3x3 convolutions by Winograd's algorithm where that is faster",
     .on = "3x3 convolutions run by Winograd's algorithm where that is faster", .off = "direct convolution"},
    {KEY(optimize.autotune), .help = "time block sizes and prefetching on this CPU once; changes no result",
     .on_resume = free_,
     .on = R"(block sizes and prefetching of the CPU's kernels are timed once per shape (2 s at most in a start) and
      remembered in the user's cache; `rtrain train --explain` shows them; no bit of a result depends on them)",
     .off = "the usual ones"},
    {KEY(optimize.memory), .help = "share memory by lifetime, work in place",
     .on = "values share one arena by lifetime, in place where possible", .off = "every value has its own memory"},
    {KEY(optimize.recompute), .help = "make values again instead of storing them",
     .choices = {"none", "cheap", "blocks"}, .automatic = true, .of_the_machine = true, .on_resume = free_,
     .details =
         R"(`cheap` (`auto` on the CPU): outputs of batch norm and ReLU are made again for the backward pass instead
      of stored. `blocks`: whole blocks are, of which only the borders stay. `none`: everything is stored.)"},
    {KEY(optimize.graph), .help = "replay a step as one CUDA graph", .automatic = true, .of_the_machine = true,
     .on_resume = free_, .on = "on a GPU a whole step is one launch", .off = "a launch per kernel"},
    {KEY(optimize.resident), .help = "keep the images on the GPU", .automatic = true, .of_the_machine = true,
     .on_resume = free_, .on = "the images stay on the GPU (`auto`: if they fit beside the step)",
     .off = "each batch is copied while the one before it is computed on"},
    {KEY(optimize.deterministic), .help = "same bits in every run (the CPU kernels always give them)",
     .on = "only algorithms that give the same bits every time", .off = "on a GPU any algorithm of cuDNN's"},
    {KEY(optimize.self_test), .help = "compare each CUDA kernel with the CPU before the first step",
     .on = "before the first step each CUDA kernel does a small case; one that disagrees with the CPU is replaced",
     .off = "kernels are not compared"},
};
#undef KEY

std::string_view leaf(std::string_view name) { return name.substr(name.rfind('.') + 1); }

std::string number(double value) {
  std::string text = rt::format("{}", value);
  return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
}

std::string in_quotes(std::string_view text) {
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
  std::string operator()(const std::string* v) const { return in_quotes(*v); }
  std::string operator()(const std::vector<double>* v) const {
    std::vector<std::string> parts;
    for (const double x : *v) parts.push_back(number(x));
    return rt::format("[{}]", joined(parts, ", "));
  }
};

}  // namespace

std::span<const Key> config_keys() { return table; }

const Key* find_key(std::string_view name) {
  for (const Key& key : config_keys())
    if (key.name == name) return &key;
  return nullptr;
}

std::vector<std::string> chosen_by_the_machine() {
  std::vector<std::string> settings;
  for (const Key& key : config_keys())
    if (key.of_the_machine) settings.push_back(std::string(key.name) + "=auto");
  return settings;
}

const Key& nearest_key(std::string_view name) {
  // A right name under a wrong (or no) table is as likely as a slip of the finger: it costs two letters.
  const auto cost = [&](const Key& key) {
    return std::min(edit_distance(name, key.name), 2 + edit_distance(leaf(name), leaf(key.name)));
  };
  const std::span<const Key> keys = config_keys();
  return *std::min_element(keys.begin(), keys.end(), [&](const Key& a, const Key& b) { return cost(a) < cost(b); });
}

std::string allowed_text(const Key& key) {
  Config scratch;
  const Member member = key.member(scratch);
  if (!key.choices.empty()) {
    std::vector<std::string_view> choices = key.choices;
    if (key.automatic) choices.push_back("auto");
    return rt::format("{}{}", choices.size() > 2 ? "one of " : "", joined(choices, choices.size() > 2 ? ", " : " or "));
  }
  std::string text =
      key.high < many ? rt::format("from {} to {}", key.low, key.high) : rt::format("from {} up", key.low);
  if (std::holds_alternative<bool*>(member))
    text = "true or false";
  else if (std::holds_alternative<std::string*>(member))
    text = "text";
  else if (std::holds_alternative<double*>(member))
    text = "a number " + text;
  else if (std::holds_alternative<std::vector<double>*>(member))
    text = "a list of numbers " + text;
  else
    text = "a whole number " + text;
  return key.automatic ? text + ", or auto" : text;
}

std::string value_text(const Config& config, const Key& key) {
  // A pointer to a member serves reading and writing.
  return std::visit(ValueText{}, key.member(const_cast<Config&>(config)));
}

}  // namespace rt
