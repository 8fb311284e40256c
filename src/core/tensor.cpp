#include "core/tensor.hpp"

#include <malloc.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "core/cuda.hpp"
#include "core/divide.hpp"

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
// glibc keeps freed blocks of up to 32 MiB for later ones, which fit into the gaps only partly: eager steps would hold
// 1.4 times what they need.
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
  const size_t rounded = round_up(std::max(bytes, size_t{1}), alignment);
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

}  // namespace rt
