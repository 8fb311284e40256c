// What training and evaluation share: a resolved configuration becomes data, model, executor and loaders.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/dataset.hpp"
#include "data/survey.hpp"
#include "train/config/config.hpp"
#include "train/engine/executor.hpp"
#include "train/model_file.hpp"

namespace rt {

struct Session {
  LoadedConfig loaded;
  DatasetPair data;
  const Dataset* eval_data = nullptr;  // the test set, or the training set where a part of it is held out; null: none
  std::vector<uint32_t> train_indices, eval_indices;  // empty: all
  std::shared_ptr<const Preparation> preparation;     // of training and evaluation: what the network is given
  std::optional<Survey> survey;  // of the training set; for a saved model only where that says no normalisation
  ModelInfo info;
  std::unique_ptr<Model> net;
  std::unique_ptr<ModelState> state;
  std::unique_ptr<Executor> executor;
  std::string device_reason;  // on CUDA the card: "NAME of compute capability 9.0"

  const Config& config() const { return loaded.config; }
  int64_t train_images() const;
  int64_t eval_images() const;
};

enum class Purpose { train, evaluate, describe };  // describe: only the configuration is decided, no model is built

// Opens data.dir, resolves what is still `auto`, builds the model and initialises it (from model.weights where given).
// `saved` is the model of a run, whose classes and normalisation (where it says one) are kept instead of taken from
// the data. Null: a signal asked to stop while the images were read.
std::unique_ptr<Session> open_session(LoadedConfig loaded, Purpose purpose, const ModelInfo* saved = nullptr);

// What a configuration in which nothing is `auto` any more says of them. The table to normalise by and the rows to
// refuse are left out.
ExecutorOptions executor_options(const Config& config, const ImageShape& image);

LoaderOptions train_loader_options(const Session& session);  // over *session.data.train
LoaderOptions eval_loader_options(const Session& session);   // over *session.eval_data

// Evaluates all of a loader's images; polls for a stop signal and shows progress under `label`.
EvalResult evaluate(Executor& executor, Loader& loader, const std::string& label);

// One line about a training step's memory: arena, what it would be without sharing, parameters.
std::string memory_line(const MemoryFigures& figures);

}  // namespace rt
