#include "layers/recognise.hpp"

#include <algorithm>
#include <tuple>

#include "layers/models.hpp"

namespace rt {

std::vector<int64_t> dims(const Shape& shape) {
  std::vector<int64_t> list;
  for (int i = 0; i < shape.rank(); ++i) list.push_back(shape[i]);
  return list;
}

namespace {

constexpr int64_t most_width = 4096;
constexpr int64_t most_classes = 1'000'000;

struct Match {
  ModelConfig config;
  std::string problem;  // why this is no match, whatever else fits; else ""
  size_t names = 0;     // that only one of file and model has
  size_t shapes = 0;    // that differ, of tensors that both have
  auto rank() const { return std::tuple(!problem.empty(), names, shapes); }  // the least is the best
};

TensorShapes shapes_of(Model& model) {
  TensorShapes shapes;
  model.visit([&](Module& m) {
    for (const auto& p : m.own_parameters()) shapes[p->name] = dims(p->shape);
    for (const auto& s : m.own_statistics()) shapes[s->name] = dims(s->shape);
  });
  return shapes;
}

std::string first_parameter(Model& model) {
  std::string name;
  model.visit([&](Module& m) {
    if (name.empty() && !m.own_parameters().empty()) name = m.own_parameters()[0]->name;
  });
  return name;
}

// "" where the file has a tensor of that name and of as many dimensions.
std::string missing(const TensorShapes& file, const std::string& name, size_t rank) {
  const auto found = file.find(name);
  if (found == file.end()) return rt::format("'{}' is missing", name);
  if (found->second.size() == rank) return "";
  return rt::format("'{}' has shape [{}], and should have {} dimensions", name, joined(found->second, ","), rank);
}

// Takes the sizes from the file; a problem is what no model of this architecture could have.
std::string take_sizes(const TensorShapes& file, const std::string& first, const std::string& head,
                       ModelConfig& config) {
  if (const std::string problem = missing(file, first, 4); !problem.empty()) return problem;
  if (const std::string problem = missing(file, head, 2); !problem.empty()) return problem;
  const int64_t width = file.at(first)[0];
  const int64_t channels = file.at(first)[1];
  const int64_t classes = file.at(head)[0];
  if (classes < 1 || classes > most_classes || width < 1 || width > most_width || channels != 3)
    return rt::format("{} classes, {} channels and width {} are not what rtrain can build", classes, channels, width);
  config.width = width;
  config.channels = channels;
  config.classes = classes;
  return "";
}

Match match(const TensorShapes& file, ModelConfig config) {
  const auto plain = make_model(config);  // names do not depend on sizes
  const std::string first = first_parameter(*plain);
  Match result;
  result.problem = take_sizes(file, first, plain->head() + "weight", config);
  const TensorShapes model = shapes_of(*make_model(config));
  size_t common = 0;
  for (const auto& [name, shape] : model) {
    const auto found = file.find(name);
    if (found == file.end()) continue;
    ++common;
    result.shapes += found->second != shape;
  }
  result.names = file.size() + model.size() - 2 * common;
  if (result.problem.empty() && file.at(first) != model.at(first))
    result.problem =
        rt::format("'{}' has shape [{}], not [{}]", first, joined(file.at(first), ","), joined(model.at(first), ","));
  result.config = std::move(config);
  return result;
}

}  // namespace

Recognition recognise(const TensorShapes& file) {
  std::vector<Match> matches;
  for (const Architecture& a : architectures())
    for (const std::string_view stem : stems)
      matches.push_back(match(file, {.arch = std::string(a.name), .stem = std::string(stem)}));
  const auto best = std::min_element(matches.begin(), matches.end(),
                                     [](const Match& a, const Match& b) { return a.rank() < b.rank(); });
  if (best->problem.empty()) return {.config = best->config, .problem = {}};
  return {
      .config = {},
      .problem = rt::format("its tensors are none of the architectures {}; the nearest is {} with the {} stem, but {}",
                            joined(architecture_names(), ", "), best->config.arch, best->config.stem, best->problem)};
}

}  // namespace rt
