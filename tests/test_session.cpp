// What a configuration becomes: data split, settings decided, a model with its normalisation.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/cifar_files.hpp"
#include "tests/support/error_of.hpp"
#include "tests/support/temp_folder.hpp"
#include "tests/support/threads_guard.hpp"
#include "train/session.hpp"

using namespace rt;
using namespace rt::testing;

namespace {

// 10 training and 5 test images.
struct Data : TempFolder {
  Data() {
    write_file(path / "data_batch_1.bin", cifar_records(10, 1));
    write_file(path / "test_batch.bin", cifar_records(5, 2));
  }
  LoadedConfig config(std::vector<std::string> settings) const {
    settings.insert(settings.begin(), {"data.dir=" + path.string(), "device=cpu", "train.batch=2", "threads=1"});
    return load_config("", settings);
  }
};

}  // namespace

TEST_CASE("session: to describe one, the settings are decided, and no model is built") {
  const ThreadsGuard guard;
  const Data data;
  const auto session = open_session(data.config({"train.batch=auto"}), Purpose::describe);
  REQUIRE(session);
  CHECK(!session->executor);
  CHECK(!session->survey);
  CHECK(session->config().data.source == "cifar10");
  CHECK(session->config().model.stem == "cifar");
  CHECK(session->config().precision != "auto");
  CHECK(session->config().train.batch > 0);
  CHECK(session->loaded.origins.find("train.batch")->second.text.starts_with("auto: "));
  const auto given = open_session(data.config({"eval.batch=2"}), Purpose::describe);
  CHECK(!given->net);  // the automatic batch alone asks what a step needs
  CHECK(!given->state);
}

TEST_CASE("session: held-out images are a part of the training set, chosen by the seed, else the test set is taken") {
  const ThreadsGuard guard;
  const Data data;
  const auto whole = open_session(data.config({"eval.batch=2"}), Purpose::describe);
  CHECK(whole->eval_data == whole->data.test.get());
  CHECK(whole->train_images() == 10);
  CHECK(whole->train_indices.empty());

  const std::vector<std::string> settings = {"eval.batch=2", "data.val_fraction=0.3"};
  const auto split = open_session(data.config(settings), Purpose::describe);
  CHECK(split->eval_data == split->data.train.get());
  CHECK(split->train_images() == 7);
  CHECK(split->eval_indices.size() == 3);
  std::vector<uint32_t> all = split->train_indices;
  all.insert(all.end(), split->eval_indices.begin(), split->eval_indices.end());
  std::sort(all.begin(), all.end());
  for (uint32_t i = 0; i < 10; ++i) CHECK(all[i] == i);
  CHECK(train_loader_options(*split).indices == split->train_indices);
  CHECK(eval_loader_options(*split).indices == split->eval_indices);
  CHECK(open_session(data.config(settings), Purpose::describe)->eval_indices == split->eval_indices);
}

TEST_CASE("session: to train, the images' own statistics normalise; of a saved model its normalisation is kept") {
  const ThreadsGuard guard;
  const Data data;
  const LoadedConfig config = data.config({"eval.batch=2", "optimize.autotune=false"});
  const auto fresh = open_session(config, Purpose::train);
  REQUIRE(fresh);
  REQUIRE(fresh->survey);
  CHECK(fresh->info.has_normalisation);
  CHECK(fresh->info.normalisation.mean == fresh->survey->statistics.mean);
  CHECK(fresh->info.classes.at(9) == "truck");
  CHECK(fresh->info.net.classes == 10);
  CHECK(fresh->info.height == 32);
  CHECK(fresh->executor);

  ModelInfo saved;
  saved.classes = {"its", "own"};
  saved.has_normalisation = true;
  saved.normalisation.mean = {0.125f, 0.25f, 0.5f};
  const auto kept = open_session(config, Purpose::evaluate, &saved);
  REQUIRE(kept);
  CHECK(!kept->survey);  // nobody read the images
  CHECK(kept->info.normalisation.mean == saved.normalisation.mean);
  CHECK(kept->info.classes == saved.classes);
  saved.has_normalisation = false;
  const auto measured = open_session(config, Purpose::evaluate, &saved);
  CHECK(measured->info.normalisation.mean == fresh->info.normalisation.mean);
}

TEST_CASE("session: without data it says how to name some") {
  CHECK(error_of([] { open_session(load_config("", {}), Purpose::describe); }, ExitCode::usage)
            .find("no data: name it as rtrain train DIR") == 0);
  const TempFolder folder;
  write_file(folder.path / "test_batch.bin", cifar_records(5, 2));
  const LoadedConfig only_test = load_config("", {"data.dir=" + folder.path.string()});
  CHECK(error_of([&] { open_session(only_test, Purpose::describe); }, ExitCode::data).find(folder.path.string()) !=
        std::string::npos);
}
