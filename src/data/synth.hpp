// The synthetic set: ten classes of drawn shapes and textures in CIFAR-10's binary format, for an accuracy that means
// something without a download. Colours, place, size, rotation, lighting, noise and clutter are random, and an object
// is as often darker as lighter than its background, so a linear classifier on the pixels learns little and a ResNet
// much. Only IEEE-exact arithmetic (+ - * / sqrt, integers): a seed gives the same bytes on every machine.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace rt {

struct SynthOptions {
  int64_t train = 50000, test = 10000;  // images; test may be 0
  uint64_t seed = 0;
};

const std::vector<std::string>& synthetic_class_names();  // ten

// Image number `index` of a split (0: train, 1: test). label in [0,10). out: [3,32,32] u8, planar RGB.
void draw_synthetic(uint64_t seed, uint32_t split, uint32_t index, int label, uint8_t* out);

// Writes data_batch_1..5.bin (fewer than five images: as many files), test_batch.bin and batches.meta.txt; creates dir.
// Classes are balanced, in random order. Files get their names only when all are written. Throws Error(data) if dir
// already holds data files (nothing is overwritten) or cannot be written, Error(usage) for counts that make no sense.
void write_synthetic(const std::string& dir, const SynthOptions& options);

}  // namespace rt
