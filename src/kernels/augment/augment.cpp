#include "kernels/augment/augment.hpp"

namespace rt {
namespace {

class AugmentOp final : public Op {
 public:
  explicit AugmentOp(AugmentAttrs a) : attrs(a) {
    RT_CHECK(a.crop_padding >= 0, "augment: crop padding is {}, not negative", a.crop_padding);
  }
  const AugmentAttrs attrs;

  std::string_view name() const override { return "augment"; }
  std::vector<Spec> infer(std::span<const Spec> in) const override {
    const Spec &pixels = in[0], &rows = in[1], &samples = in[2], &epoch = in[3], &table = in[4];
    RT_CHECK(
        pixels.shape.rank() == 4 && pixels.shape.c() == 3 && pixels.dtype == DType::u8 && pixels.layout == Layout::nchw,
        "augment: pixels {} must be [S,3,H,W] u8 nchw", pixels.str());
    RT_CHECK(rows.shape.rank() == 1 && rows.dtype == DType::i32 && samples == rows,
             "augment: rows {} and samples {} must both be [N] i32", rows.str(), samples.str());
    RT_CHECK(epoch == Spec({{1}, DType::i32}), "augment: epoch {} must be [1] i32", epoch.str());
    RT_CHECK(table == Spec({{3, 256}}), "augment: the table {} must be [3,256] f32", table.str());
    return {{{rows.shape[0], 3, pixels.shape.h(), pixels.shape.w()}, attrs.dtype, attrs.layout}};
  }
  void forward(Tape& tape, std::span<const Var> in, std::span<const Var> out) const override {
    tape.step(kinds::augment, this, {in.begin(), in.end()}, {out[0]});
  }
  void backward(Tape&, Gradients&) const override {}  // bytes have no gradient
};

}  // namespace

Var augment(Tape& tape, Var pixels, Var rows, Var samples, Var epoch, Var table, AugmentAttrs attrs) {
  return tape.apply(std::make_shared<AugmentOp>(attrs), {pixels, rows, samples, epoch, table});
}

Tensor normalise_table(std::span<const float> mean, std::span<const float> std) {
  RT_CHECK(mean.size() == 3 && std.size() == 3, "normalise_table: {} means and {} deviations for 3 channels",
           mean.size(), std.size());
  Tensor table({{3, 256}});
  for (size_t c = 0; c < 3; ++c)
    for (size_t v = 0; v < 256; ++v)
      table.as<float>()[c * 256 + v] = (static_cast<float>(v) / 255.0f - mean[c]) / std[c];
  return table;
}

const AugmentAttrs& augment_attrs(Ops ops) { return attributes<AugmentOp>(ops).attrs; }

}  // namespace rt
