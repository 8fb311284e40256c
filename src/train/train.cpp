#include "train/train.hpp"

#include <algorithm>
#include <utility>

#include "core/log.hpp"
#include "kernels/conv2d/cudnn/cudnn_choices.hpp"
#include "train/files/files.hpp"
#include "train/fingerprint.hpp"
#include "train/signals.hpp"
#include "train/survey_file.hpp"
#include "train/trainer.hpp"

namespace rt {
namespace {

double mebibytes(int64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

// Why device=auto took none, in a program that could have used one; else "".
std::string why_no_gpu(const Session& s) {
  const bool asked_for = s.device_reason == DeviceChoice().reason;
  return asked_for || cuda::support().architectures.empty() ? "" : rt::format("; no GPU: {}", s.device_reason);
}

void describe_memory(Session& s) {
  const MemoryFigures training = s.executor->memory(s.config().train.batch);
  log_info("{}", memory_line(training));
  if (s.config().device != "cpu") return;
  const MemoryFigures evaluation = s.executor->memory(s.config().eval.batch, false);
  log_info("peak memory: {:.0f} MiB planned", mebibytes(std::max(training.peak_bytes, evaluation.peak_bytes)));
}

void describe(Session& s) {
  const Config& c = s.config();
  const DatasetInfo& d = s.data.train->info();
  const ImageShape image = s.preparation->shape();
  log_info("data: {} training images, {} for evaluation, {}x{}, {} classes ({})", s.train_images(), s.eval_images(),
           image.height, image.width, d.classes, d.kind);
  log_info("model: {} with the {} stem, {} parameters", c.model.arch, c.model.stem, s.state->parameter_count());
  if (c.device == "cpu")
    log_info("machine: {}, {} with {} threads, {}{}", machine().cpu_model, name_of(machine().isa), c.threads,
             c.precision, why_no_gpu(s));
  else
    log_info("device: {}, {} in {}{}{}", c.device, s.device_reason, c.precision,
             c.optimize.graph ? ", one graph a step" : "", c.optimize.resident ? ", images on the device" : "");
  log_info("batch {}{}, learning rate {:.4g}, schedule {}", c.train.batch,
           c.train.accumulate > 1 ? rt::format(" x {} accumulated", c.train.accumulate) : "", c.optimizer.lr,
           c.schedule.name);
  describe_memory(s);
}

// Refuses what can be known to fail, before anything is written.
void check(Session& s) {
  const Config& c = s.config();
  make_schedule(s);
  if (const int64_t rest = s.train_images() % c.train.batch; !c.train.drop_last && rest > 0) {
    try {
      s.executor->memory(rest);
    } catch (const Error& e) {
      fail(ExitCode::usage,
           "the last batch of an epoch has {} images, which this network cannot train on ({}); "
           "use train.drop_last=true or another train.batch",
           rest, e.what());
    }
  }
}

// A resumed run computes with the very convolution algorithms that it began with.
void remember_algorithms_in(const Session& s, const RunFolder& folder) {
  if (s.config().device == "cpu") return;
  cudnn::configure({.deterministic = s.config().optimize.deterministic,
                    .cache_file = cudnn::default_cache_file(),
                    .run_file = folder.dir + "/cudnn-algorithms.txt"});
}

void report(int code, const RunFolder& folder) {
  log_info("peak memory of the process: {:.0f} MiB", mebibytes(peak_resident_bytes()));
  if (code == 0) log_info("finished; results are in {}, the best model is {}", folder.dir, folder.best);
}

int start(const TrainRequest& request) {
  std::vector<std::string> overrides = request.overrides;
  if (!request.data_dir.empty()) overrides.insert(overrides.begin(), "data.dir=" + request.data_dir);
  const auto session = open_session(load_config(request.config_file, overrides), Purpose::train);
  if (!session) return 128 + stop_signal();
  check(*session);
  if (request.dry_run) {
    describe(*session);
    if (request.explain) rt::print("{}", session->executor->explain(session->config().train.batch));
    log_info("dry run: nothing was trained");
    return 0;
  }
  const RunFolder folder = create_run_folder(session->config().run.dir, session->loaded.recipe);
  atomic_write(folder.config, to_toml(session->loaded));
  keep_survey(folder.data, *session->survey, *session->data.train);
  log_to_file(folder.log);
  remember_algorithms_in(*session, folder);
  describe(*session);
  if (request.explain) rt::print("{}", session->executor->explain(session->config().train.batch));
  log_info("run folder: {}", folder.dir);
  LoopState loop;
  loop.data = session->survey->checksum;
  const int code = Trainer(*session, folder, loop).run();
  report(code, folder);
  return code;
}

int resume(const TrainRequest& request) {
  const RunFolder folder = open_run_folder(request.resume);
  LoadedConfig loaded = load_resumed_config(folder.config, request.overrides);
  for (const std::string& setting : request.overrides)
    if (setting.starts_with("run.dir=")) log_warning("{} is for new runs; this one goes on in {}", setting, folder.dir);
  const CheckpointFolder::Loaded checkpoint =
      CheckpointFolder(folder.checkpoints, loaded.config.train.keep).load_newest();
  // The checkpoint holds newer weights.
  const std::string first_weights = std::exchange(loaded.config.model.weights, "");
  const auto session = open_session(loaded, Purpose::train, &checkpoint.info);
  if (!session) return 128 + stop_signal();
  remember_algorithms_in(*session, folder);
  session->loaded.config.model.weights = first_weights;
  check(*session);
  LoopState loop = checkpoint.loop;
  const Dataset& images = *session->data.train;
  std::optional<Survey> known = kept_survey(folder.data, images);
  const bool kept = known.has_value();
  if (!kept) known = survey(images, session->config().threads, asked_to_stop);
  if (!known) return 128 + stop_signal();
  if (known->checksum != loop.data)
    fail(ExitCode::data,
         "{} does not hold the images that this run was trained on (checksum {}, was {}); "
         "put them back, or start a new run with model.weights={}",
         session->config().data.dir, known->checksum, loop.data, folder.last);
  restore(checkpoint, *session->net, *session->state);
  if (request.explain) rt::print("{}", session->executor->explain(session->config().train.batch));
  if (request.dry_run) {
    log_info("dry run: would continue after update {} of {}", loop.step, checkpoint.file.path());
    return 0;
  }
  if (!kept) keep_survey(folder.data, *known, images);
  log_to_file(folder.log);
  if (const std::string now = fingerprint(*session); now != loop.fingerprint) {
    log_warning(
        "this machine or build computes with other kernels ({}) than the run so far ({}): "
        "it goes on, but not bit for bit",
        now, loop.fingerprint);
    loop.fingerprint = now;
  }
  truncate_metrics_after(folder.metrics_csv, folder.metrics_jsonl, loop.step, loop.evaluated);
  atomic_write(folder.config, to_toml(session->loaded));
  log_info("continuing {} after update {} (epoch {}, {} images into it) from {}", folder.dir, loop.step, loop.epoch + 1,
           loop.position, checkpoint.file.path());
  describe_memory(*session);
  Trainer trainer(*session, folder, loop);
  const int code = trainer.run();
  if (code == 0 && trainer.step() == loop.step && loop.evaluated)
    log_info("the run was finished already after {} updates; to train longer: rtrain train --resume {} train.epochs=N",
             loop.step, folder.dir);
  else
    report(code, folder);
  return code;
}

}  // namespace

int train(const TrainRequest& request) {
  install_stop_handlers();
  return request.resume.empty() ? start(request) : resume(request);
}

}  // namespace rt
