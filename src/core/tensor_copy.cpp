// Copies of values: between the host and a device, and between types and layouts.
#include <cstring>

#include "core/cuda.hpp"
#include "core/tensor.hpp"

namespace rt {

Tensor read_back(const View& view, Device device) {
  Tensor t(view.spec);
  if (device == Device::cpu) {
    std::memcpy(t.view().data, view.data, view.spec.bytes());
  } else {
    cuda::copy_to_host(t.view().data, view.data, view.spec.bytes(), cuda::compute_stream());
    cuda::synchronize(cuda::compute_stream());
  }
  return t;
}
void write_to(const View& view, Device device, const void* host) {
  if (device == Device::cpu) {
    std::memcpy(view.data, host, view.spec.bytes());
  } else {
    cuda::copy_to_device(view.data, host, view.spec.bytes(), cuda::compute_stream());
    cuda::synchronize(cuda::compute_stream());
  }
}

namespace {
double load(const View& v, int64_t i) {
  switch (v.spec.dtype) {
    case DType::f32:
      return static_cast<const float*>(v.data)[i];
    case DType::f64:
      return static_cast<const double*>(v.data)[i];
    case DType::f16:
      return static_cast<double>(static_cast<const f16*>(v.data)[i]);
    case DType::bf16:
      return static_cast<double>(static_cast<const bf16*>(v.data)[i]);
    case DType::i32:
      return static_cast<const int32_t*>(v.data)[i];
    case DType::u8:
      return static_cast<const uint8_t*>(v.data)[i];
  }
  return 0;
}
void store(const View& v, int64_t i, double x) {
  switch (v.spec.dtype) {
    case DType::f32:
      static_cast<float*>(v.data)[i] = static_cast<float>(x);
      break;
    case DType::f64:
      static_cast<double*>(v.data)[i] = x;
      break;
    case DType::f16:
      static_cast<f16*>(v.data)[i] = f16(static_cast<float>(x));
      break;
    case DType::bf16:
      static_cast<bf16*>(v.data)[i] = bf16(static_cast<float>(x));
      break;
    case DType::i32:
      static_cast<int32_t*>(v.data)[i] = static_cast<int32_t>(x);
      break;
    case DType::u8:
      static_cast<uint8_t*>(v.data)[i] = static_cast<uint8_t>(x);
      break;
  }
}
}  // namespace

void copy_convert(const View& from, const View& to) {
  RT_CHECK(from.shape() == to.shape(), "copy from {} to {}", from.spec.str(), to.spec.str());
  if (from.spec == to.spec) {
    std::memcpy(to.data, from.data, from.spec.bytes());
    return;
  }
  if (from.shape().rank() < 4 || from.spec.layout == to.spec.layout) {
    for (int64_t i = 0; i < from.numel(); ++i) store(to, i, load(from, i));
    return;
  }
  const Shape& s = from.shape();
  const Strides a = from.spec.strides(), b = to.spec.strides();
  if (from.spec.dtype == DType::f32 && to.spec.dtype == DType::f32) {  // whole models pass here
    const float* x = from.as<float>();
    float* y = to.as<float>();
    for (int64_t n = 0; n < s.n(); ++n)
      for (int64_t c = 0; c < s.c(); ++c)
        for (int64_t h = 0; h < s.h(); ++h)
          for (int64_t w = 0; w < s.w(); ++w)
            y[n * b.n + c * b.c + h * b.h + w * b.w] = x[n * a.n + c * a.c + h * a.h + w * a.w];
    return;
  }
  for (int64_t n = 0; n < s.n(); ++n)
    for (int64_t h = 0; h < s.h(); ++h)
      for (int64_t w = 0; w < s.w(); ++w)
        for (int64_t c = 0; c < s.c(); ++c)
          store(to, n * b.n + c * b.c + h * b.h + w * b.w, load(from, n * a.n + c * a.c + h * a.h + w * a.w));
}

}  // namespace rt
