// Model files: what they say of a model, which weights they give to another one, and what is refused.
#include <doctest/doctest.h>

#include "tests/support/network.hpp"
#include "tests/support/temp_folder.hpp"
#include "train/model_file.hpp"

using namespace rt;
using namespace rt::testing;

namespace {

struct SmallModel : Network {
  SmallModel(const std::string& arch, const std::string& stem, int64_t classes, uint64_t seed)
      : Network({.arch = arch, .stem = stem, .classes = classes, .width = 2}, seed) {}
  SafetensorsFile saved_in(const TempFolder& folder) const {
    ModelInfo info;
    info.net = net->config();
    info.classes = {"a", "b", "c"};
    info.normalisation.mean = {0.25f, 0.5f, 0.75f};
    info.height = 24;
    info.width = 32;
    const std::string path = (folder.path / "model.safetensors").string();
    save_model(path, info, *state);
    return SafetensorsFile::open(path);
  }
};

}  // namespace

TEST_CASE("model_file: what is saved is read back, of a ResNet and of a plain network") {
  for (const auto& [arch, first] : {std::pair("resnet50", "conv1.weight"), std::pair("vgg11", "features.0.weight")})
    for (const std::string_view stem : stems) {
      const TempFolder folder;
      const SmallModel m(arch, std::string(stem), 3, 1);
      const SafetensorsFile file = m.saved_in(folder);
      CHECK(file.metadata().at("arch") == arch);
      CHECK(file.metadata().at("stem") == stem);
      const ModelInfo info = read_model_info(file);
      CHECK(info.net.arch == arch);
      CHECK(info.net.stem == stem);
      CHECK(info.net.classes == 3);
      CHECK(info.net.width == 2);
      CHECK(info.classes == std::vector<std::string>{"a", "b", "c"});
      CHECK(info.has_normalisation);
      CHECK(info.normalisation.mean[2] == 0.75f);
      CHECK(info.height == 24);
      CHECK(info.width == 32);
      SmallModel other(arch, std::string(stem), 3, 2);
      CHECK(other.first_weight(first) != m.first_weight(first));
      load_weights(file, *other.net, *other.state, Head::must_fit);
      CHECK(other.first_weight(first) == m.first_weight(first));
    }
}

TEST_CASE("model_file: weights of another shape are refused by name, a classifier of another size may keep its own") {
  for (const auto& [arch, first, head] : {std::tuple("resnet18", "conv1.weight", "fc.weight"),
                                          std::tuple("vgg11", "features.0.weight", "classifier.weight")}) {
    const TempFolder folder;
    const SmallModel m(arch, "cifar", 3, 1);
    const SafetensorsFile file = m.saved_in(folder);
    SmallModel other(arch, "cifar", 5, 4);
    const float fresh = other.first_weight(head);
    CHECK_THROWS_WITH_AS(load_weights(file, *other.net, *other.state, Head::must_fit), doctest::Contains(head), Error);
    load_weights(file, *other.net, *other.state, Head::may_differ);
    CHECK(other.first_weight(first) == m.first_weight(first));
    CHECK(other.first_weight(head) == fresh);
    SmallModel large(arch, "imagenet", 3, 1);
    CHECK_THROWS_WITH_AS(load_weights(file, *large.net, *large.state, Head::must_fit),
                         doctest::Contains("model.stem=imagenet"), Error);
  }
}

TEST_CASE("model_file: weights of another architecture are refused with what the file holds") {
  const TempFolder folder;
  const SafetensorsFile file = SmallModel("resnet34", "cifar", 3, 1).saved_in(folder);
  SmallModel other("resnet18", "cifar", 3, 1);
  CHECK_THROWS_WITH_AS(load_weights(file, *other.net, *other.state, Head::must_fit),
                       doctest::Contains("does not belong to this model; the file holds model.arch=resnet34"), Error);
  SmallModel plain("vgg11", "cifar", 3, 1);
  CHECK_THROWS_WITH_AS(load_weights(file, *plain.net, *plain.state, Head::must_fit),
                       doctest::Contains("'features.0.weight' is missing; the file holds model.arch=resnet34"), Error);
}

TEST_CASE("model_file: a file that holds no model is refused with its name") {
  const TempFolder folder;
  const std::string path = (folder.path / "other.safetensors").string();
  const float numbers[4] = {};
  const TensorInfo tensor{.name = "conv1.0.weight",
                          .dtype = "F32",
                          .shape = {4},
                          .data = reinterpret_cast<const std::byte*>(numbers),
                          .bytes = sizeof numbers};
  write_safetensors(path, {&tensor, 1}, {});
  CHECK_THROWS_WITH_AS(read_model_info(SafetensorsFile::open(path)),
                       doctest::Contains("other.safetensors: its tensors"), Error);
}
