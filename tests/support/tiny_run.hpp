// A run of a narrow network on a few images that lie in memory, as session and trainer see one.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "layers/models.hpp"
#include "tests/support/memory_dataset.hpp"
#include "train/run_folder.hpp"
#include "train/session.hpp"
#include "train/trainer.hpp"

namespace rt::testing {

inline constexpr int tiny_side = 16, tiny_classes = 3;

// Everything that a trainer needs; `settings` as on a command line. Two of the same settings compute the same bits.
struct TinyRun {
  Session session;
  RunFolder folder;

  TinyRun(const std::string& dir, int64_t images, const std::vector<std::string>& settings) : folder(dir) {
    std::filesystem::create_directories(folder.checkpoints);
    std::vector<std::string> all = {"device=cpu",
                                    "precision=f32",
                                    "threads=1",
                                    "model.stem=cifar",
                                    "train.batch=4",
                                    "eval.batch=4",
                                    "optimizer.lr=0.05",
                                    "schedule.warmup_epochs=0",
                                    "train.log_every=1",
                                    "data.workers=0",
                                    "augment.crop_padding=2"};
    all.insert(all.end(), settings.begin(), settings.end());
    session.loaded = load_config("", all);
    session.data.train = std::make_unique<MemoryDataset>(images, tiny_side, tiny_classes);
    session.data.test = std::make_unique<MemoryDataset>(6, tiny_side, tiny_classes);
    session.eval_data = session.data.test.get();
    session.preparation = as_stored(session.data.train->info().image);
    session.net = make_model({.arch = "resnet18", .stem = "cifar", .classes = tiny_classes, .width = 2});
    session.state = std::make_unique<ModelState>(*session.net);
    session.state->initialise(1);
    session.info = {.net = session.net->config(),
                    .classes = {"a", "b", "c"},
                    .has_normalisation = true,
                    .normalisation = {{0.5f, 0.5f, 0.5f}, {0.3f, 0.3f, 0.3f}},
                    .height = tiny_side,
                    .width = tiny_side};
    ExecutorOptions options = executor_options(session.config(), session.data.train->info().image);
    const Normalisation& by = session.info.normalisation;
    options.normalise = std::make_shared<Tensor>(normalise_table(by.mean, by.std));
    session.executor = std::make_unique<Executor>(*session.net, *session.state, options);
  }
};

}  // namespace rt::testing
