// cuDNN's backend descriptors, of which its graph API is made, with their lifetimes and the types of their attributes.
// For cudnn_graph_api.cpp alone. A call that fails throws Refused, since a graph that cannot be computed is no error
// there.
#pragma once
#include <cudnn.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "core/format.hpp"
#include "kernels/conv2d/cudnn/cudnn_graph.hpp"

namespace rt::cudnn {

struct Refused {  // by the library; for cudnn_graph_api.cpp, which lets none out
  std::string why;
};
inline void require(cudnnStatus_t status, const char* what) {
  if (status != CUDNN_STATUS_SUCCESS) throw Refused{rt::format("{} failed: {}", what, reason(status))};
}
// "" or what was refused.
template <class F>
std::string refusal(F&& f) {
  try {
    f();
    return "";
  } catch (const Refused& refused) {
    return refused.why;
  }
}

using AttributeType = cudnnBackendAttributeType_t;
constexpr AttributeType type_of(const int64_t*) { return CUDNN_TYPE_INT64; }
constexpr AttributeType type_of(const float*) { return CUDNN_TYPE_FLOAT; }
constexpr AttributeType type_of(void* const*) { return CUDNN_TYPE_VOID_PTR; }
constexpr AttributeType type_of(const cudnnHandle_t*) { return CUDNN_TYPE_HANDLE; }
constexpr AttributeType type_of(const cudnnDataType_t*) { return CUDNN_TYPE_DATA_TYPE; }
constexpr AttributeType type_of(const cudnnGenStatsMode_t*) { return CUDNN_TYPE_GENSTATS_MODE; }
constexpr AttributeType type_of(const cudnnConvolutionMode_t*) { return CUDNN_TYPE_CONVOLUTION_MODE; }
constexpr AttributeType type_of(const cudnnBackendHeurMode_t*) { return CUDNN_TYPE_HEUR_MODE; }
constexpr AttributeType type_of(const cudnnBackendKnobType_t*) { return CUDNN_TYPE_KNOB_TYPE; }
constexpr AttributeType type_of(const cudnnBackendNumericalNote_t*) { return CUDNN_TYPE_NUMERICAL_NOTE; }

// A descriptor of the library: attributes are set, then it is finalised, from when on they can only be read.
class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type) {
    require(cudnnBackendCreateDescriptor(type, &descriptor_), "cudnnBackendCreateDescriptor");
  }
  ~Descriptor() {
    if (descriptor_) cudnnBackendDestroyDescriptor(descriptor_);
  }
  Descriptor(Descriptor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, nullptr)) {}
  Descriptor& operator=(Descriptor&&) = delete;

  template <class T, size_t n>
  void set(cudnnBackendAttributeName_t name, const std::array<T, n>& values) {
    require(cudnnBackendSetAttribute(descriptor_, name, type_of(values.data()), int64_t{n}, values.data()),
            "cudnnBackendSetAttribute");
  }
  template <class T>
  void set(cudnnBackendAttributeName_t name, T value) {
    set(name, std::array{value});
  }
  void set(cudnnBackendAttributeName_t name, const Descriptor& value) {
    require(cudnnBackendSetAttribute(descriptor_, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value.descriptor_),
            "cudnnBackendSetAttribute");
  }
  void set(cudnnBackendAttributeName_t name, const Descriptor& first, const Descriptor& second) {
    const cudnnBackendDescriptor_t both[] = {first.descriptor_, second.descriptor_};
    require(cudnnBackendSetAttribute(descriptor_, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 2, both),
            "cudnnBackendSetAttribute");
  }
  void finalize(const char* what) { require(cudnnBackendFinalize(descriptor_), what); }

  template <class T>
  std::vector<T> get(cudnnBackendAttributeName_t name, int64_t most) const {
    std::vector<T> values(static_cast<size_t>(most));
    int64_t count = 0;
    require(cudnnBackendGetAttribute(descriptor_, name, type_of(values.data()), most, &count, values.data()),
            "cudnnBackendGetAttribute");
    values.resize(static_cast<size_t>(std::clamp<int64_t>(count, 0, most)));  // it counts all that there are
    return values;
  }
  template <class T>
  T get(cudnnBackendAttributeName_t name) const {
    const std::vector<T> values = get<T>(name, 1);
    if (values.empty()) throw Refused{"cudnnBackendGetAttribute gave nothing"};
    return values[0];
  }
  std::vector<Descriptor> get(cudnnBackendAttributeName_t name, cudnnBackendDescriptorType_t type, int64_t most) const {
    std::vector<Descriptor> values;
    std::vector<cudnnBackendDescriptor_t> raw;
    for (int64_t i = 0; i < most; ++i) raw.push_back(values.emplace_back(type).descriptor_);
    int64_t count = 0;
    require(cudnnBackendGetAttribute(descriptor_, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, &count, raw.data()),
            "cudnnBackendGetAttribute");
    while (std::ssize(values) > count) values.pop_back();
    return values;
  }

  cudnnBackendDescriptor_t raw() const { return descriptor_; }

 private:
  cudnnBackendDescriptor_t descriptor_ = nullptr;
};

}  // namespace rt::cudnn
