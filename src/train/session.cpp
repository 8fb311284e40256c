#include "train/session.hpp"

#include <algorithm>
#include <filesystem>

#include "core/log.hpp"
#include "data/sources.hpp"
#include "kernels/conv2d/cudnn/cudnn_choices.hpp"
#include "layers/models.hpp"
#include "train/engine/self_test.hpp"
#include "train/progress.hpp"
#include "train/signals.hpp"

namespace rt {

ExecutorOptions executor_options(const Config& c, const ImageShape& image) {
  ExecutorOptions o;
  o.optimize = c.optimize;
  o.device = c.device == "cpu" ? Device::cpu : Device::cuda;
  o.precision = dtype_named(c.precision);
  if (c.augment.enabled)
    o.augment = {.crop_padding = c.augment.crop_padding,
                 .flip = c.augment.flip,
                 .random = true,
                 .seed = static_cast<uint64_t>(c.run.seed)};
  o.label_smoothing = c.loss.label_smoothing;
  o.optimizer = &optimizer_named(c.optimizer.name);
  o.optimizer_attrs = c.optimizer;
  o.control.clip_norm = c.train.clip_norm;
  o.decay_all = c.optimizer.decay_bn_and_bias;
  o.largest_batch = std::max(c.train.batch, c.eval.batch);
  o.height = image.height;
  o.width = image.width;
  return o;
}

namespace {

ModelConfig net_config(const Session& s) {
  const Config& c = s.config();
  return {.arch = c.model.arch,
          .stem = c.model.stem,
          .classes = s.data.train->info().classes,
          .channels = s.preparation->shape().channels};
}

// The bytes that a step of `batch` images needs besides the program itself: the data set is in memory already.
int64_t step_bytes(const Session& s, int batch, bool training) {
  Config sized = s.config();
  sized.train.batch = sized.eval.batch = batch;
  const ImageShape image = s.preparation->shape();
  ExecutorOptions options = executor_options(sized, image);
  options.normalise = std::make_shared<Tensor>(Spec{{3, 256}});  // its numbers do not matter here
  const MemoryFigures m = Executor(*s.net, *s.state, options).memory(batch, training);
  constexpr int64_t loader_batches = 3;  // in the host's memory: those prefetched, and the one in use
  const int64_t of_loader = options.device == Device::cpu ? loader_batches * batch * image.bytes() : 0;
  return m.arena_bytes + m.fixed_bytes + of_loader;
}

}  // namespace

int64_t Session::train_images() const {
  return train_indices.empty() ? data.train->size() : static_cast<int64_t>(train_indices.size());
}

int64_t Session::eval_images() const {
  if (!eval_data) return 0;
  return eval_indices.empty() ? eval_data->size() : static_cast<int64_t>(eval_indices.size());
}

namespace {

void open_data(Session& s) {
  Config& c = s.loaded.config;
  if (c.data.dir.empty())
    fail(ExitCode::usage,
         "no data: name it as rtrain train DIR, or data.dir in the configuration; DIR is a folder of {}; "
         "rtrain synth --out DIR writes a synthetic set",
         source_help());
  // A run may be resumed from elsewhere.
  c.data.dir = std::filesystem::absolute(c.data.dir).lexically_normal().string();
  s.data = open_datasets(c.data.source, c.data.dir);
  if (!s.data.train) fail(ExitCode::data, "{}: there are no training images in this folder", c.data.dir);
  s.preparation = as_stored(s.data.train->info().image);
}

void split_data(Session& s) {
  const Config& c = s.config();
  if (c.data.val_fraction > 0) {
    std::tie(s.train_indices, s.eval_indices) =
        split_indices(s.data.train->size(), c.data.val_fraction, static_cast<uint64_t>(c.run.seed));
    s.eval_data = s.data.train.get();
  } else {
    s.eval_data = s.data.test.get();
  }
}

DeviceChoice use_device(Session& s) {
  const Config& c = s.config();
  const DeviceChoice device = choose_device(c.device, s.loaded.origins.find("device")->second.text);
  s.device_reason = device.reason;
  if (device.device == Device::cuda)
    cudnn::configure(
        {.deterministic = c.optimize.deterministic, .cache_file = cudnn::default_cache_file(), .run_file = ""});
  return device;
}

// Does nothing where there is a model. The first fact about its memory needs one, and is asked for after model.* was
// decided.
void build_model(Session& s) {
  if (s.net) return;
  s.net = make_model(net_config(s));
  s.state = std::make_unique<ModelState>(*s.net, &optimizer_named(s.config().optimizer.name));
}

void resolve(Session& s, const DeviceChoice& device) {
  const ImageShape image = s.preparation->shape();
  const auto bytes = [&](int batch, bool training) {
    build_model(s);
    return step_bytes(s, batch, training);
  };
  const int64_t images = s.data.train->size() + (s.data.test ? s.data.test->size() : 0);
  resolve_auto(s.loaded, {.machine = machine(),
                          .device = device,
                          .data_source = s.data.source,
                          .data_source_reason = rt::format("{} images of {}x{} in {} classes", s.data.train->size(),
                                                           image.height, image.width, s.data.train->info().classes),
                          .image_size = std::max(image.height, image.width),
                          .train_images = s.train_images(),
                          .plan_bytes = [&](int batch) { return bytes(batch, true); },
                          .eval_bytes = [&](int batch) { return bytes(batch, false); },
                          .data_bytes = images * image.bytes()});
}

// Sets the weights, and what a model's file says beside them. False: a signal asked to stop meanwhile.
bool initialise_model(Session& s, const ModelInfo* saved) {
  const Config& c = s.config();
  const ImageShape image = s.preparation->shape();
  if (saved) s.info = *saved;
  if (saved && !saved->has_normalisation)
    log_info("the model does not say how its images were normalised: using the statistics of {}", c.data.dir);
  if (!s.info.has_normalisation) {
    s.survey = survey(*s.data.train, c.threads, asked_to_stop);
    if (!s.survey) return false;
    s.info.normalisation = s.survey->statistics;
    s.info.has_normalisation = true;
  }
  if (!saved) s.info.classes = s.data.train->info().class_names;
  s.info.net = s.net->config();
  s.info.height = image.height;
  s.info.width = image.width;
  s.state->initialise(static_cast<uint64_t>(c.run.seed));
  if (!c.model.weights.empty())
    load_weights(SafetensorsFile::open(c.model.weights), *s.net, *s.state, Head::may_differ);
  return true;
}

void prepare_executor(Session& s, Purpose purpose) {
  const Config& c = s.config();
  ExecutorOptions options = executor_options(c, s.preparation->shape());
  options.normalise = std::make_shared<Tensor>(normalise_table(s.info.normalisation.mean, s.info.normalisation.std));
  if (options.device == Device::cuda && c.optimize.self_test) options.refused = self_test(options, s.net->config());
  if (purpose == Purpose::train && c.optimize.autotune && options.device == Device::cpu)
    options.tuner = std::make_shared<Tuner>();
  s.executor = std::make_unique<Executor>(*s.net, *s.state, options);
  if (c.optimize.resident) {
    if (purpose == Purpose::train) s.executor->hold(*s.data.train, *s.preparation, true);
    if (s.eval_data) s.executor->hold(*s.eval_data, *s.preparation, false);
  }
}

}  // namespace

std::unique_ptr<Session> open_session(LoadedConfig loaded, Purpose purpose, const ModelInfo* saved) {
  auto s = std::make_unique<Session>();
  s->loaded = std::move(loaded);
  open_data(*s);
  split_data(*s);
  const DeviceChoice device = use_device(*s);
  resolve(*s, device);
  set_threads(s->config().threads, s->config().pin == "on");
  if (purpose == Purpose::describe) return s;
  build_model(*s);
  if (!initialise_model(*s, saved)) return nullptr;
  prepare_executor(*s, purpose);
  return s;
}

LoaderOptions train_loader_options(const Session& s) {
  const Config& c = s.config();
  LoaderOptions o;
  o.batch = c.train.batch;
  o.seed = static_cast<uint64_t>(c.run.seed);
  o.shuffle = true;
  o.drop_last = c.train.drop_last;
  o.workers = c.data.workers;
  o.gather = !c.optimize.resident;
  o.preparation = s.preparation;
  o.indices = s.train_indices;
  o.stop = asked_to_stop;
  return o;
}

LoaderOptions eval_loader_options(const Session& s) {
  LoaderOptions o;
  o.batch = s.config().eval.batch;
  o.workers = s.config().data.workers;
  o.gather = !s.config().optimize.resident;
  o.preparation = s.preparation;
  o.indices = s.eval_indices;
  o.stop = asked_to_stop;
  return o;
}

EvalResult evaluate(Executor& executor, Loader& loader, const std::string& label) {
  EvalResult total;
  Progress progress(label, loader.batches());
  loader.start(0);
  int64_t done = 0;
  auto collect = [&](bool all) {
    while (const auto r = executor.result(all)) {
      total.loss_sum += r->loss * static_cast<double>(r->images);
      total.images += r->images;
      total.top1 += r->top1;
      total.top5 += r->top5;
      const double images = static_cast<double>(total.images);
      progress.update(++done, {.loss = total.loss_sum / images, .top1 = static_cast<double>(total.top1) / images});
    }
  };
  for (const Batch* batch; stop_signal() == 0 && (batch = loader.next());) {
    executor.enqueue_evaluation(*batch);
    collect(false);
  }
  collect(true);
  return total;
}

std::string memory_line(const MemoryFigures& f) {
  auto mib = [](int64_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
  return rt::format(
      "memory of a training step: arena {:.0f} MiB ({:.0f} MiB if no memory were shared), "
      "parameters and batch {:.0f} MiB",
      mib(f.arena_bytes), mib(f.unshared_bytes), mib(f.fixed_bytes));
}

}  // namespace rt
