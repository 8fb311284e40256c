// oneDNN's direct convolution, as frameworks call it: activations stay nhwc, weights take whatever order it prefers
// (their reordering is not timed), and it may not use a better instruction set than our kernels do.
#include "bench/peer.hpp"
#include "core/device.hpp"

#ifdef RT_HAVE_ONEDNN
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

namespace rt {
namespace {

using Memory = dnnl::memory;
using Algorithm = dnnl::algorithm;
constexpr Algorithm direct = Algorithm::convolution_direct;

class OnednnConvolution final : public PeerConvolution {
 public:
  OnednnConvolution(const Conv2dShape& s, Conv2dPass pass) : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {
    using Tag = Memory::format_tag;
    const Memory::desc x({s.n, s.c, s.h, s.w}, Memory::data_type::f32, Tag::nhwc);
    const Memory::desc w({s.k, s.c, s.r, s.s}, Memory::data_type::f32, Tag::any);
    const Memory::desc y({s.n, s.k, s.p, s.q}, Memory::data_type::f32, Tag::nhwc);
    const Memory::dims stride = {s.stride, s.stride}, pad = {s.pad, s.pad};
    // The libraries' versions 2 and 3 differ in this alone: a descriptor first, or everything at once.
#if DNNL_VERSION_MAJOR >= 3
    using Kind = dnnl::prop_kind;
    const dnnl::convolution_forward::primitive_desc forward(engine_, Kind::forward_training, direct, x, w, y, stride,
                                                            pad, pad);
    auto dx = [&] {
      return dnnl::convolution_backward_data::primitive_desc(engine_, direct, x, w, y, stride, pad, pad, forward);
    };
    auto dw = [&] {
      return dnnl::convolution_backward_weights::primitive_desc(engine_, direct, x, w, y, stride, pad, pad, forward);
    };
#else
    const dnnl::convolution_forward::primitive_desc forward(
        {dnnl::prop_kind::forward_training, direct, x, w, y, stride, pad, pad}, engine_);
    auto dx = [&] {
      return dnnl::convolution_backward_data::primitive_desc({direct, x, w, y, stride, pad, pad}, engine_, forward);
    };
    auto dw = [&] {
      return dnnl::convolution_backward_weights::primitive_desc({direct, x, w, y, stride, pad, pad}, engine_, forward);
    };
#endif
    if (pass == Conv2dPass::forward) {
      primitive_ = dnnl::convolution_forward(forward);
      add(DNNL_ARG_SRC, x);
      add(DNNL_ARG_WEIGHTS, forward.weights_desc());
      add(DNNL_ARG_DST, y);
    } else if (pass == Conv2dPass::dx) {
      const auto d = dx();
      primitive_ = dnnl::convolution_backward_data(d);
      add(DNNL_ARG_DIFF_DST, y);
      add(DNNL_ARG_WEIGHTS, d.weights_desc());
      add(DNNL_ARG_DIFF_SRC, x);
    } else {
      const auto d = dw();
      primitive_ = dnnl::convolution_backward_weights(d);
      add(DNNL_ARG_SRC, x);
      add(DNNL_ARG_DIFF_DST, y);
      add(DNNL_ARG_DIFF_WEIGHTS, d.diff_weights_desc());
    }
  }
  void run() override {
    primitive_.execute(stream_, arguments_);
    stream_.wait();
  }

 private:
  void add(int role, const Memory::desc& desc) {
    const Memory memory(desc, engine_);
    auto* values = static_cast<float*>(memory.get_data_handle());
    for (size_t i = 0; i < desc.get_size() / sizeof(float); ++i) values[i] = static_cast<float>(i % 17) / 16 - 0.5f;
    arguments_.insert({role, memory});
  }

  dnnl::engine engine_;
  dnnl::stream stream_;
  dnnl::primitive primitive_;
  std::unordered_map<int, Memory> arguments_;
};

}  // namespace

Peer onednn_peer() {
  const dnnl_version_t& v = *dnnl_version();
  auto convolution = [](const Conv2dShape& shape, Conv2dPass pass) -> std::unique_ptr<PeerConvolution> {
    static const bool limited = [] {  // once, and before its first primitive
      const Isa isa = machine().isa;
      const auto allowed = isa >= isa_avx512 ? dnnl::cpu_isa::avx512_core
                           : isa == isa_avx2 ? dnnl::cpu_isa::avx2
                                             : dnnl::cpu_isa::sse41;
      return dnnl::set_max_cpu_isa(allowed) == dnnl::status::success;
    }();
    RT_CHECK(limited, "oneDNN does not keep to {}", name_of(machine().isa));
    return std::make_unique<OnednnConvolution>(shape, pass);
  };
  return {.name = rt::format("oneDNN {}.{}.{}", v.major, v.minor, v.patch), .problem = "", .convolution = convolution};
}

}  // namespace rt

#else

namespace rt {

Peer onednn_peer() {
  constexpr const char* advice =
      "rbench was built without oneDNN; install it (Debian and Ubuntu: apt-get install libdnnl-dev), then build again";
  return {.name = "", .problem = advice, .convolution = {}};
}

}  // namespace rt
#endif
