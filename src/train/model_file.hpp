// A model in a safetensors file, with torchvision's names, strictly loadable by PyTorch's load_state_dict. Its metadata
// hold all that prediction needs: classes, normalisation, input size.
#pragma once
#include <array>
#include <string>
#include <vector>

#include "data/dataset.hpp"
#include "layers/model.hpp"
#include "layers/state.hpp"
#include "train/files/safetensors.hpp"

namespace rt {

struct ModelInfo {
  ModelConfig net;
  std::vector<std::string> classes;  // empty if the file does not say
  bool has_normalisation = false;    // false: a file that rtrain did not write
  Normalisation normalisation;
  int64_t height = 0, width = 0;  // of the images it was trained on; 0: unknown
};

// The weights and committed statistics as the entries of a state_dict (122 of ResNet-18's). The views' memory must
// outlive the list.
std::vector<TensorInfo> state_dict(const ModelState& state);
Metadata model_metadata(const ModelInfo& info);
void save_model(const std::string& path, const ModelInfo& info, const ModelState& state);

// Architecture, stem and class count from the tensors themselves, the rest from the metadata. Error(data) if the file
// holds none of the architectures (layers/models.hpp).
ModelInfo read_model_info(const SafetensorsFile& file);

// may_differ: a classifier of another size keeps its fresh weights (fine-tuning).
enum class Head { must_fit, may_differ };
// Copies weights and statistics into the state of `model`, by name; Error(data) names a tensor that is missing, left
// over or of another shape, and what the file holds where that is another architecture or stem.
void load_weights(const SafetensorsFile& file, const Model& model, ModelState& state, Head head);

}  // namespace rt
