// What goes into a step and comes out of it, on the CPU; test_cuda_step.cpp has a device behind.
#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include "core/check.hpp"
#include "train/engine/step_io.hpp"

using namespace rt;

namespace {

constexpr int64_t channels = 3, side = 2, largest = 4;
constexpr size_t image_size = channels * side * side;

// A batch as the loader hands it out: `pixels` where bytes travel, else only which samples it holds.
Batch batch_of(int64_t count, bool pixels) {
  Batch b;
  b.count = count;
  b.epoch = 7;
  for (int32_t i = 0; i < count; ++i) {
    b.label_storage.push_back(10 + i);
    b.sample_storage.push_back(100 - i);
  }
  for (size_t i = 0; i < static_cast<size_t>(count) * image_size; ++i) {
    b.pixel_storage.push_back(static_cast<uint8_t>(i + 1));
    b.image_storage.push_back(static_cast<float>(i) / 8);
  }
  b.labels = b.label_storage.data();
  b.samples = b.sample_storage.data();
  if (pixels) b.pixels = b.pixel_storage.data();
  return b;
}

std::vector<int32_t> whole_numbers(const View& v) { return {v.as<int32_t>(), v.as<int32_t>() + v.numel()}; }

void write_report_of(const StepOutput& output, std::vector<float> fields) {
  REQUIRE(fields.size() == report_fields);
  std::memcpy(output.report().data, fields.data(), fields.size() * sizeof(float));
}

}  // namespace

TEST_CASE("step_io: bytes, labels and numbers of a batch are where a step reads them") {
  StepInput input(Device::cpu, largest, {channels, side, side});
  const View lr = input.lr(), weight = input.weight(), labels = input.labels(3);
  const Batch batch = batch_of(3, true);
  CHECK(StepInput::source_of(batch) == StepInput::Source::bytes);
  input.send(batch, 0.75, 0.125);
  CHECK(*lr.as<float>() == 0.125f);
  CHECK(*weight.as<float>() == 0.75f);
  CHECK(*input.epoch().as<int32_t>() == 7);
  CHECK(whole_numbers(labels) == std::vector<int32_t>{10, 11, 12});
  CHECK(whole_numbers(input.samples(3)) == std::vector<int32_t>{100, 99, 98});
  CHECK(whole_numbers(input.rows(3)) == std::vector<int32_t>{0, 1, 2});  // of what was sent
  const View pixels = input.pixels(3);
  CHECK(pixels.shape() == Shape{3, channels, side, side});
  CHECK(std::memcmp(pixels.data, batch.pixel_storage.data(), 3 * image_size) == 0);

  input.send(batch_of(1, true), 1, 0.5);  // a short one, to the same addresses
  CHECK(*lr.as<float>() == 0.5f);
  CHECK(*weight.as<float>() == 1.0f);
  CHECK(input.pixels(1).data == pixels.data);
  CHECK(whole_numbers(labels) == std::vector<int32_t>{10, 11, 12});  // the others stay
}

TEST_CASE("step_io: of resident images only the numbers travel, and the caller's own images as they are") {
  StepInput input(Device::cpu, largest, {channels, side, side});
  const Batch resident = batch_of(2, false);
  CHECK(StepInput::source_of(resident) == StepInput::Source::resident);
  input.send(resident, 1, 0.1);
  CHECK(whole_numbers(input.rows(2)) == std::vector<int32_t>{100, 99});  // of the whole set
  CHECK(input.pixels(2).data == nullptr);
  CHECK(input.images(2).data == nullptr);

  Batch given = batch_of(4, true);
  given.images = given.image_storage.data();
  CHECK(StepInput::source_of(given) == StepInput::Source::given);
  input.send(given, 1, 0.1);
  CHECK(input.pixels(4).data == nullptr);
  CHECK(std::memcmp(input.images(4).data, given.images, 4 * image_size * sizeof(float)) == 0);
  CHECK(whole_numbers(input.labels(4)) == std::vector<int32_t>{10, 11, 12, 13});
}

TEST_CASE("step_io: a batch that was not prepared for is refused with both sizes") {
  StepInput input(Device::cpu, largest, {channels, side, side});
  CHECK_THROWS_WITH_AS(input.send(batch_of(5, true), 1, 0.1),
                       doctest::Contains("a batch of 5 images, prepared for at most 4"), Error);
  CHECK_THROWS_AS(input.send(batch_of(0, true), 1, 0.1), Error);
}

TEST_CASE("step_io: results come in the order of their steps, each once, as they were when it ended") {
  StepOutput output(Device::cpu);
  CHECK(!output.take(true));
  std::vector<float> fields(report_fields);
  fields[report_loss] = 1.5f;
  fields[report_top1] = 3;
  fields[report_top5] = 5;
  fields[report_grad_norm] = 2.5f;
  fields[report_updated] = 1;
  fields[report_scale] = 1024;
  write_report_of(output, fields);
  output.post(6);
  fields[report_loss] = 9;
  fields[report_updated] = 0;
  fields[report_stop] = 1;
  write_report_of(output, fields);
  output.post(2);
  const std::optional<StepResult> first = output.take(false), second = output.take(false);
  REQUIRE(first);
  CHECK(first->images == 6);
  CHECK(first->loss == 1.5);
  CHECK(first->top1 == 3);
  CHECK(first->top5 == 5);
  CHECK(first->grad_norm == 2.5);
  CHECK(first->finite);
  CHECK(first->loss_scale == 1024);
  CHECK(!first->stopped);
  REQUIRE(second);
  CHECK(second->images == 2);
  CHECK(second->loss == 9);
  CHECK(!second->finite);
  CHECK(second->stopped);
  CHECK(!output.take(true));
}
