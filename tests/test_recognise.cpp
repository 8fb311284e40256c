// Which architecture a file's tensors are recognised as, and what is said where there is none.
#include <doctest/doctest.h>

#include "layers/models.hpp"
#include "layers/recognise.hpp"
#include "layers/state.hpp"

using namespace rt;

namespace {

TensorShapes shapes(const ModelConfig& config) {
  const auto net = make_model(config);
  const ModelState state(*net, nullptr);
  TensorShapes list;
  for (const auto& views : {state.parameters(), state.statistics()})
    for (const NamedView& v : views) list[v.name] = dims(v.view.shape());
  return list;
}

std::string problem(const TensorShapes& file) {
  const Recognition r = recognise(file);
  CHECK(!r.config);
  return r.problem;
}

}  // namespace

TEST_CASE("recognise: every architecture and stem by its tensors, also where one is missing or left over") {
  for (const Architecture& a : architectures())
    for (const std::string_view stem : stems) {
      const ModelConfig config{
          .arch = std::string(a.name), .stem = std::string(stem), .classes = 7, .channels = 3, .width = 8};
      TensorShapes file = shapes(config);
      for (const bool damaged : {false, true}) {
        if (damaged) {
          file.erase(std::next(file.begin(), static_cast<int>(file.size() / 2)));
          file["left.over"] = {3};
        }
        const std::optional<ModelConfig> found = recognise(file).config;
        REQUIRE(found);
        CHECK(found->arch == config.arch);
        CHECK(found->stem == config.stem);
        CHECK(found->classes == 7);
        CHECK(found->channels == 3);
        CHECK(found->width == 8);
      }
    }
}

TEST_CASE("recognise: tensors that are no architecture are refused with what the nearest one misses") {
  const TensorShapes whole = shapes({.arch = "resnet34", .width = 8});
  TensorShapes file = whole;
  file.erase("conv1.weight");
  CHECK(problem(file).find("the nearest is resnet34 with the cifar stem, but 'conv1.weight' is missing") !=
        std::string::npos);
  file = whole;
  file["conv1.weight"] = {8, 3, 5, 5};
  CHECK(problem(file).find("'conv1.weight' has shape [8,3,5,5], not [8,3,3,3]") != std::string::npos);
  file["conv1.weight"] = {8, 4, 3, 3};
  CHECK(problem(file).find("4 channels") != std::string::npos);
  file = whole;
  file["fc.weight"] = {10};
  CHECK(problem(file).find("'fc.weight' has shape [10]") != std::string::npos);
  file["fc.weight"] = {int64_t{1} << 40, 64};
  CHECK(problem(file).find("1099511627776 classes") != std::string::npos);
  CHECK(problem({}).find("is missing") != std::string::npos);
}
