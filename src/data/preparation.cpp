#include "data/preparation.hpp"

namespace rt {
namespace {

class AsStored final : public Preparation {
 public:
  explicit AsStored(const ImageShape& shape) : shape_(shape) {}
  ImageShape shape() const override { return shape_; }
  void prepare(const Dataset& data, const SampleKey& key, std::span<uint8_t> image) const override {
    const ImageShape found = data.shape(key.sample);
    if (found != shape_)
      fail(ExitCode::data, "the image has {}x{} pixels and {} channels, the network takes {}x{} and {}", found.width,
           found.height, found.channels, shape_.width, shape_.height, shape_.channels);
    data.read(key.sample, image);
  }

 private:
  ImageShape shape_;
};

}  // namespace

std::shared_ptr<const Preparation> as_stored(const ImageShape& shape) { return std::make_shared<AsStored>(shape); }

}  // namespace rt
