// What goes into a step and what comes out of it. A recorded step knows fixed addresses only; StepInput brings each
// batch there, StepOutput collects each step's few numbers. On CUDA the host runs ahead: inputs travel through a ring
// of pinned buffers (images on a stream of their own, two batches deep), and results are read when the device gets to
// them.
#pragma once
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "core/cuda.hpp"
#include "core/tensor.hpp"
#include "data/loader.hpp"
#include "kernels/update/report.hpp"

namespace rt {

struct StepResult {
  int64_t images = 0;
  double loss = 0;  // mean over the micro-batch
  int64_t top1 = 0, top5 = 0;
  double grad_norm = 0;   // of the whole update, before clipping; valid after an update
  bool finite = true;     // false: loss or gradient was not finite, and the update changed nothing
  double loss_scale = 1;  // that the next step will use
  bool stopped = false;   // nothing is updated any more until the host has looked
};

// Host memory that copies can run beside computing from; ordinary memory on the CPU.
class HostBuffer {
 public:
  HostBuffer(size_t bytes, Device device);
  std::byte* data() const { return static_cast<std::byte*>(data_.get()); }

 private:
  std::unique_ptr<void, void (*)(void*)> data_;
};

class StepInput {
 public:
  StepInput(Device device, int64_t largest_batch, const Shape& image);  // image [C,H,W]

  enum class Source {
    given,     // f32 images of the caller's
    bytes,     // bytes that travel
    resident,  // bytes that are on the device already
  };
  static Source source_of(const Batch& batch);
  void send(const Batch& batch, double weight, double lr);

  // Fixed addresses, for a batch of n.
  View lr() const { return {{{}, DType::f32}, at(0)}; }
  View weight() const { return {{{}, DType::f32}, at(4)}; }
  View epoch() const { return {{{1}, DType::i32}, at(8)}; }
  View labels(int64_t n) const { return {{{n}, DType::i32}, at(header)}; }
  View rows(int64_t n) const { return {{{n}, DType::i32}, at(header + list_bytes_)}; }
  View samples(int64_t n) const { return {{{n}, DType::i32}, at(header + 2 * list_bytes_)}; }
  // These two have no memory until such a batch was sent.
  View pixels(int64_t n) const { return area(pixels_, DType::u8, n); }   // [n,C,H,W]
  View images(int64_t n) const { return area(images_, DType::f32, n); }  // [n,C,H,W]

 private:
  static constexpr size_t header = 64;
  static constexpr int ring = 3;
  struct Buffers {  // of one batch on its way
    explicit Buffers(size_t bytes) : small(bytes, Device::cuda) {}
    HostBuffer small;
    std::unique_ptr<HostBuffer> bulk;
    size_t bulk_bytes = 0;
    cuda::Event free;
  };
  struct Stage {  // where a batch's images land before the step's own memory is free for them
    Storage memory;
    cuda::Event arrived, consumed;
  };
  void* at(size_t offset) const { return static_cast<std::byte*>(block_.data()) + offset; }
  View area(const Storage& storage, DType dtype, int64_t n) const;
  void fill_small(std::byte* to, const Batch& batch, double weight, double lr) const;
  void send_images(Buffers& host, void* to, const void* from, size_t bytes);

  Device device_;
  int64_t largest_batch_;
  Shape image_;
  size_t list_bytes_;
  Storage block_, pixels_, images_;
  std::deque<Buffers> buffers_;
  std::deque<Stage> stages_;
  size_t sent_ = 0, staged_ = 0;
};

class StepOutput {
 public:
  explicit StepOutput(Device device);
  View report() const { return {{{report_fields}, DType::f32}, report_.data()}; }  // where a step writes
  void post(int64_t images);  // call it after each step that was enqueued
  // The oldest result that was not taken. Empty: there is none, or it is not there yet and `wait` is false.
  std::optional<StepResult> take(bool wait);

 private:
  static constexpr int ring = 4;
  struct Posted {  // the numbers of one step on their way
    Posted() : values(report_fields * sizeof(float), Device::cuda) {}
    HostBuffer values;
    cuda::Event there;
    int64_t images = 0;
  };
  void collect();  // waits for the oldest that was posted
  static StepResult read(const float* values, int64_t images);
  Device device_;
  Storage report_;
  std::deque<Posted> ring_;
  std::deque<Posted*> posted_, free_;
  std::deque<StepResult> ready_;
};

}  // namespace rt
