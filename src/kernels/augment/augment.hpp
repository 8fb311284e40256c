// From the bytes of images to the numbers a network sees: crop with padding, horizontal flip, normalise.
//     pixels [S,3,H,W] u8, planar: a resident data set, or one batch
//     rows [N] i32: which image of `pixels`
//     samples [N] i32: an image's identity, and epoch [1] i32: both name its random numbers, whatever the batch's order
//     table [3,256] f32: what a byte becomes, per channel
//     images [N,3,H,W] in the type and layout asked for
// Padding is raw 0 before normalisation (as in torchvision's usual recipe), so every result is an entry of the table:
// nothing here rounds differently on another device.
#pragma once
#include <span>

#include "core/rng.hpp"
#include "core/tape.hpp"

namespace rt {

namespace kinds {
inline constexpr Kind augment{"augment: pixels rows samples epoch table -> images"};
}

struct AugmentAttrs {
  int crop_padding = 0;  // pixels added on each side before a crop of the original size; 0: no shift
  bool flip = false;     // mirrored left to right half of the time
  bool random = false;   // false: only normalise
  uint64_t seed = 0;
  DType dtype = DType::f32;  // of the images
  Layout layout = Layout::nchw;
};
Var augment(Tape& tape, Var pixels, Var rows, Var samples, Var epoch, Var table, AugmentAttrs attrs);

// Entry [c,v] is (v/255 - mean[c]) / std[c] in f32, the bits of torchvision's ToTensor and Normalize. Three of each.
Tensor normalise_table(std::span<const float> mean, std::span<const float> std);

const AugmentAttrs& augment_attrs(Ops ops);

struct Crop {  // pixel (y, x) of the result is (y + down, x + right) of the image; the columns reversed afterwards
  int down, right;
  bool mirror;
};
// Three draws, always in this order and whatever the options are, so that switching one off does not change the others.
RT_HOST_DEVICE inline Crop draw_crop(const AugmentAttrs& a, uint32_t epoch, uint32_t sample) {
  Crop crop{};
  if (!a.random) return crop;
  Rng rng(a.seed, RngPurpose::augment, epoch, sample);
  const uint32_t shifts = 2 * static_cast<uint32_t>(a.crop_padding) + 1;
  crop.down = static_cast<int>(rng.below(shifts)) - a.crop_padding;
  crop.right = static_cast<int>(rng.below(shifts)) - a.crop_padding;
  crop.mirror = (rng.next() >> 31) != 0 && a.flip;
  return crop;
}

namespace cpu::reference {
void augment(const Args& a);
}  // namespace cpu::reference

namespace cuda {  // f32, f16, bf16
void augment(const Args& a);
}  // namespace cuda

}  // namespace rt
