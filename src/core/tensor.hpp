// Shapes, types and memory. A shape is logical: N,C,H,W for images whatever the memory order, which is the layout.
// View: a spec and a pointer, owns nothing. Tensor: a view that owns its memory. Storage: 64-byte aligned bytes, of the
// host or of the CUDA device in use.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "core/check.hpp"
#include "core/device.hpp"
#include "core/half.hpp"

namespace rt {

enum class DType : uint8_t { f32, f64, f16, bf16, i32, u8 };
enum class Layout : uint8_t { nchw, nhwc };  // memory order of 4-d values; others are row-major

size_t size_of(DType dtype);
const char* name_of(DType dtype);
DType dtype_named(const std::string& name, DType automatic = DType::f32);  // "bf16"; automatic for "auto"
const char* name_of(Layout layout);
template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>)
    return DType::f32;
  else if constexpr (std::is_same_v<T, double>)
    return DType::f64;
  else if constexpr (std::is_same_v<T, f16>)
    return DType::f16;
  else if constexpr (std::is_same_v<T, bf16>)
    return DType::bf16;
  else if constexpr (std::is_same_v<T, int32_t>)
    return DType::i32;
  else {
    static_assert(std::is_same_v<T, uint8_t>, "no DType is of this type");
    return DType::u8;
  }
}

class Shape {  // rank 0 (a scalar: one element) to 4
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const int64_t> dims);

  int rank() const { return rank_; }
  int64_t operator[](int i) const { return dims_[static_cast<size_t>(i)]; }
  int64_t n() const { return dims_[0]; }
  int64_t c() const { return dims_[1]; }
  int64_t h() const { return dims_[2]; }
  int64_t w() const { return dims_[3]; }
  int64_t numel() const;
  std::string str() const;  // "[128,64,32,32]"
  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::array<int64_t, 4> dims_{};
  int rank_ = 0;
};

struct Strides {  // in elements, of logical N,C,H,W
  int64_t n, c, h, w;
};

struct Spec {
  Shape shape;
  DType dtype = DType::f32;
  Layout layout = Layout::nchw;

  size_t bytes() const { return static_cast<size_t>(shape.numel()) * size_of(dtype); }
  Strides strides() const;  // of a 4-d shape
  std::string str() const;  // "[128,64,32,32] f32 nhwc"
  friend bool operator==(const Spec&, const Spec&) = default;
};

struct View {
  Spec spec;
  void* data = nullptr;

  const Shape& shape() const { return spec.shape; }
  int64_t numel() const { return spec.shape.numel(); }
  template <class T>
  T* as() const {
    RT_CHECK(spec.dtype == dtype_of<T>(), "view of {} read as {}", name_of(spec.dtype), name_of(dtype_of<T>()));
    return static_cast<T*>(data);
  }
};

class Storage {
 public:
  Storage() = default;
  // Contents unspecified. Throws Error(device), which names the size, when memory is short.
  explicit Storage(size_t bytes, Device device = Device::cpu);
  void* data() const { return data_.get(); }
  size_t bytes() const { return bytes_; }

 private:
  std::unique_ptr<void, void (*)(void*)> data_{nullptr, std::free};
  size_t bytes_ = 0;
};

class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(const Spec& spec);  // zero-filled
  View view() const { return {spec_, storage_.data()}; }
  const Spec& spec() const { return spec_; }
  template <class T>
  T* as() const {
    return view().as<T>();
  }

 private:
  Spec spec_;
  Storage storage_;
};

// Copies between any two types and layouts; the shapes must agree. Rounds to nearest even.
void copy_convert(const View& from, const View& to);
void fill_zero(const View& view);

// Between a value's memory and the host's: the bytes are there when these return.
Tensor read_back(const View& view, Device device);
void write_to(const View& view, Device device, const void* host);

}  // namespace rt
