#include "data/preparation.hpp"

namespace rt {
namespace {

class AsStored final : public Preparation {
 public:
  void prepare(const Dataset& data, const SampleKey& key, std::span<uint8_t> image) const override {
    data.read(key.sample, image);
  }
};

}  // namespace

std::shared_ptr<const Preparation> as_stored() {
  static const auto only = std::make_shared<const AsStored>();
  return only;
}

}  // namespace rt
