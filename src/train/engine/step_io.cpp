#include "train/engine/step_io.hpp"

#include <cstdlib>
#include <cstring>
#include <numeric>

namespace rt {

HostBuffer::HostBuffer(size_t bytes, Device device)
    : data_(device == Device::cuda ? cuda::allocate_pinned(bytes) : std::malloc(bytes),
            device == Device::cuda ? cuda::release_pinned : std::free) {
  RT_CHECK(data_, "out of memory: {} bytes", bytes);
}

StepInput::StepInput(Device device, int64_t largest_batch, const Shape& image)
    : device_(device),
      largest_batch_(largest_batch),
      image_(image),
      list_bytes_((static_cast<size_t>(largest_batch) * sizeof(int32_t) + 63) / 64 * 64),
      block_(header + 3 * list_bytes_, device) {
  if (device == Device::cpu) return;
  for (int i = 0; i < ring; ++i) buffers_.emplace_back(block_.bytes());
  stages_.resize(2);
}

StepInput::Source StepInput::source_of(const Batch& batch) {
  return batch.images ? Source::given : batch.pixels ? Source::bytes : Source::resident;
}

View StepInput::area(const Storage& storage, DType dtype, int64_t n) const {
  return {{{n, image_[0], image_[1], image_[2]}, dtype}, storage.data()};
}

void StepInput::fill_small(std::byte* to, const Batch& batch, double weight, double lr) const {
  const float scalars[] = {static_cast<float>(lr), static_cast<float>(weight)};
  const auto epoch = static_cast<int32_t>(batch.epoch);
  std::memcpy(to, scalars, sizeof scalars);
  std::memcpy(to + sizeof scalars, &epoch, sizeof epoch);
  const size_t bytes = static_cast<size_t>(batch.count) * sizeof(int32_t);
  std::memcpy(to + header, batch.labels, bytes);
  if (source_of(batch) == Source::given) return;
  auto* rows = reinterpret_cast<int32_t*>(to + header + list_bytes_);
  if (source_of(batch) == Source::resident)
    std::memcpy(rows, batch.samples, bytes);
  else
    std::iota(rows, rows + batch.count, 0);
  std::memcpy(to + header + 2 * list_bytes_, batch.samples, bytes);
}

void StepInput::send(const Batch& batch, double weight, double lr) {
  RT_CHECK(batch.count >= 1 && batch.count <= largest_batch_, "a batch of {} images, prepared for at most {}",
           batch.count, largest_batch_);
  const Source source = source_of(batch);
  if (source == Source::given && images_.bytes() == 0) images_ = Storage(images(largest_batch_).spec.bytes(), device_);
  if (source == Source::bytes && pixels_.bytes() == 0) pixels_ = Storage(pixels(largest_batch_).spec.bytes(), device_);
  const View to = source == Source::given   ? images(batch.count)
                  : source == Source::bytes ? pixels(batch.count)
                                            : View{};
  const void* from = source == Source::given ? static_cast<const void*>(batch.images) : batch.pixels;
  const size_t bulk = to.data ? to.spec.bytes() : 0;
  if (device_ == Device::cpu) {
    fill_small(static_cast<std::byte*>(block_.data()), batch, weight, lr);
    if (bulk > 0) std::memcpy(to.data, from, bulk);
    return;
  }
  Buffers& host = buffers_[sent_++ % ring];
  host.free.wait();
  fill_small(host.small.data(), batch, weight, lr);
  cuda::copy_to_device(block_.data(), host.small.data(), block_.bytes(), cuda::compute_stream());
  if (bulk > 0) send_images(host, to.data, from, bulk);
  host.free.record(cuda::compute_stream());
}

void StepInput::send_images(Buffers& host, void* to, const void* from, size_t bytes) {
  if (host.bulk_bytes < bytes) {
    host.bulk = std::make_unique<HostBuffer>(bytes, Device::cuda);
    host.bulk_bytes = bytes;
  }
  Stage& stage = stages_[staged_++ % stages_.size()];
  if (stage.memory.bytes() < bytes) {
    stage.memory = Storage(bytes, Device::cuda);
    // Memory comes in that stream's order, and is used in the other one first.
    cuda::synchronize(cuda::compute_stream());
  }
  std::memcpy(host.bulk->data(), from, bytes);
  stage.consumed.hold(cuda::copy_stream());
  cuda::copy_to_device(stage.memory.data(), host.bulk->data(), bytes, cuda::copy_stream());
  stage.arrived.record(cuda::copy_stream());
  stage.arrived.hold(cuda::compute_stream());
  cuda::copy_on_device(to, stage.memory.data(), bytes, cuda::compute_stream());
  stage.consumed.record(cuda::compute_stream());
}

StepOutput::StepOutput(Device device) : device_(device), report_(report_fields * sizeof(float), device) {
  if (device == Device::cpu) return;
  ring_.resize(ring);
  for (Posted& p : ring_) free_.push_back(&p);
}

StepResult StepOutput::read(const float* v, int64_t images) {
  return {.images = images,
          .loss = static_cast<double>(v[report_loss]),
          .top1 = static_cast<int64_t>(v[report_top1]),
          .top5 = static_cast<int64_t>(v[report_top5]),
          .grad_norm = static_cast<double>(v[report_grad_norm]),
          .finite = v[report_updated] != 0,
          .loss_scale = static_cast<double>(v[report_scale]),
          .stopped = v[report_stop] != 0};
}

void StepOutput::post(int64_t images) {
  if (device_ == Device::cpu) {
    ready_.push_back(read(static_cast<const float*>(report_.data()), images));
    return;
  }
  if (free_.empty()) collect();  // as far ahead as the host may run
  Posted* const next = free_.front();
  free_.pop_front();
  next->images = images;
  cuda::copy_to_host(next->values.data(), report_.data(), report_.bytes(), cuda::compute_stream());
  next->there.record(cuda::compute_stream());
  posted_.push_back(next);
}

void StepOutput::collect() {
  Posted* const oldest = posted_.front();
  oldest->there.wait();
  ready_.push_back(read(reinterpret_cast<const float*>(oldest->values.data()), oldest->images));
  posted_.pop_front();
  free_.push_back(oldest);
}

std::optional<StepResult> StepOutput::take(bool wait) {
  if (ready_.empty() && !posted_.empty() && (wait || posted_.front()->there.done())) collect();
  if (ready_.empty()) return {};
  const StepResult r = ready_.front();
  ready_.pop_front();
  return r;
}

}  // namespace rt
