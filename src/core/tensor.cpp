#include "core/tensor.hpp"

#include <malloc.h>
#include <sys/mman.h>

#include <bit>
#include <cstdlib>
#include <cstring>

#include "core/cuda.hpp"

namespace rt {

size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return 8;
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::f16:
    case DType::bf16:
      return 2;
    case DType::u8:
      return 1;
  }
  return 0;
}
const char* name_of(DType dtype) {
  constexpr const char* names[] = {"f32", "f64", "f16", "bf16", "i32", "u8"};
  return names[static_cast<int>(dtype)];
}
DType dtype_named(const std::string& name, DType automatic) {
  if (name == "auto") return automatic;
  for (DType d : {DType::f32, DType::f64, DType::f16, DType::bf16})
    if (name == name_of(d)) return d;
  fail(ExitCode::usage, "'{}' is not a number format; known are f32, bf16 and f16", name);
}
const char* name_of(Layout layout) { return layout == Layout::nchw ? "nchw" : "nhwc"; }

Shape::Shape(std::span<const int64_t> dims) : rank_(static_cast<int>(dims.size())) {
  RT_CHECK(dims.size() <= 4, "a shape has at most 4 dimensions, not {}", dims.size());
  for (size_t i = 0; i < dims.size(); ++i) dims_[i] = dims[i];
}
int64_t Shape::numel() const {
  int64_t n = 1;
  for (int i = 0; i < rank_; ++i) n *= (*this)[i];
  return n;
}
std::string Shape::str() const {
  std::string s = "[";
  for (int i = 0; i < rank_; ++i) s += rt::format("{}{}", i ? "," : "", (*this)[i]);
  return s + "]";
}

Strides Spec::strides() const {
  RT_CHECK(shape.rank() == 4, "{} is not a 4-d value", str());
  const int64_t c = shape.c(), h = shape.h(), w = shape.w();
  return layout == Layout::nchw ? Strides{c * h * w, h * w, w, 1} : Strides{c * h * w, 1, w * c, c};
}
std::string Spec::str() const {
  return rt::format("{} {}{}{}", shape.str(), name_of(dtype), shape.rank() == 4 ? " " : "",
                    shape.rank() == 4 ? name_of(layout) : "");
}

namespace {
// glibc keeps freed blocks of up to 32 MiB for later ones, which fit into the gaps only partly: eager steps would hold 1.4 times
// what they need.
void return_large_blocks() {
#ifdef __GLIBC__
  static const int set = mallopt(M_MMAP_THRESHOLD, 4 << 20);
  static_cast<void>(set);
#endif
}
}  // namespace

Storage::Storage(size_t bytes, Device device) : bytes_(bytes) {
  if (device == Device::cuda) {
    data_ = {cuda::allocate(bytes), cuda::release};
    return;
  }
  // Large blocks start on a huge-page border and ask for huge pages: fewer TLB misses in strided kernels.
  constexpr size_t huge = size_t{2} << 20;
  const size_t alignment = bytes >= 2 * huge ? huge : 64;
  const size_t rounded = (std::max(bytes, size_t{1}) + alignment - 1) / alignment * alignment;
  if (alignment == huge) return_large_blocks();
  data_.reset(std::aligned_alloc(alignment, rounded));
  if (!data_)
    fail(ExitCode::device, "out of memory: could not allocate {:.1f} MiB; a smaller train.batch needs less",
         static_cast<double>(bytes) / (1 << 20));
  if (alignment == huge) madvise(data_.get(), rounded, MADV_HUGEPAGE);
}

Tensor::Tensor(const Spec& spec) : spec_(spec), storage_(spec.bytes()) { fill_zero(view()); }

void fill_zero(const View& view) {
  if (view.spec.bytes() > 0) std::memset(view.data, 0, view.spec.bytes());
}

uint16_t f32_to_f16(float x) {
  const uint32_t u = std::bit_cast<uint32_t>(x), sign = (u >> 16) & 0x8000u, magnitude = u & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // 65520 and above round to infinity
  if (magnitude < 0x38800000u) {  // subnormal half: let the f32 adder round at the right bit
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}
float f16_to_f32(uint16_t x) {
  const uint32_t sign = static_cast<uint32_t>(x & 0x8000u) << 16, exponent = (x >> 10) & 31u, mantissa = x & 0x3ffu;
  if (exponent == 0)
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(static_cast<float>(mantissa) * 0x1p-24f));
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

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
