// The cases. Ranges are chosen so that no element sits near a kink: a finite difference across one means nothing.
#include "tests/op_cases.hpp"

#include <algorithm>
#include <cmath>

#include "core/rng.hpp"
#include "kernels/augment/augment.hpp"
#include "kernels/batch_norm/batch_norm.hpp"
#include "kernels/conv2d/conv2d.hpp"
#include "kernels/cross_entropy/cross_entropy.hpp"
#include "kernels/elementwise/elementwise.hpp"
#include "kernels/linear/linear.hpp"
#include "kernels/pool/pool.hpp"
#include "kernels/update/optimizer.hpp"
#include "kernels/update/report.hpp"

namespace rt {
namespace {

using Vars = std::span<const Var>;

OpCase conv_case(Shape x, int64_t k, int64_t size, Conv2dAttrs attrs, Role role = Role::activation) {
  const float bound = 1 / std::max(1.0f, 0.5f * static_cast<float>(size));
  return {"conv2d",
          rt::format("{} {}x{}/{} -> {}{}", x.str(), size, size, attrs.stride, k,
                     2 * attrs.pad + 1 == size ? "" : rt::format(" pad {}", attrs.pad)),
          {{"x", x, role}, {"w", {k, x.c(), size, size}, Role::parameter, Fill::uniform, -bound, bound}},
          [attrs](Tape& t, Vars v) { return conv2d(t, v[0], v[1], attrs); }};
}

// off_zero inputs, gamma well above beta and skip: the normalised values keep their distance from relu's kink too.
std::vector<CaseInput> bn_inputs(Shape x) {
  const Shape c{x.c()};
  return {{"x", x, Role::activation, Fill::off_zero, 1, 2},
          {"gamma", c, Role::parameter, Fill::uniform, 1, 1.5},
          {"beta", c, Role::parameter, Fill::uniform, -0.1f, 0.1f},
          {"running_mean", c, Role::state, Fill::uniform, -0.5f, 0.5f},
          {"running_var", c, Role::state, Fill::uniform, 0.5f, 1.5f}};
}
Var bn(Tape& t, Vars v, BatchNormAttrs attrs = {}) { return batch_norm(t, v[0], v[1], v[2], {v[3], v[4]}, attrs); }

OpCase bn_case(Shape x) {
  return {"batch_norm", x.str(), bn_inputs(x), [](Tape& t, Vars v) { return bn(t, v); }};
}
OpCase bn_inference_case(Shape x) {
  return {"batch_norm", x.str() + " inference", bn_inputs(x),
          [](Tape& t, Vars v) { return bn(t, v, {.training = false}); }, false};
}
OpCase bn_far_mean_case(Shape x) {  // mean >> std, where E[x^2]-E[x]^2 would cancel
  OpCase c{"batch_norm", x.str() + " mean 30", bn_inputs(x), [](Tape& t, Vars v) { return bn(t, v); }, false};
  c.in[0] = {"x", x, Role::activation, Fill::uniform, 29, 31};
  return c;
}
OpCase bn_relu_case(Shape x) {
  return {"bn_relu", x.str(), bn_inputs(x), [](Tape& t, Vars v) { return relu(t, bn(t, v)); }};
}
OpCase bn_add_relu_case(Shape x) {
  std::vector<CaseInput> in = bn_inputs(x);
  in.push_back({"skip", x, Role::activation, Fill::uniform, -0.1f, 0.1f});
  return {"bn_add_relu", x.str(), in, [](Tape& t, Vars v) { return relu(t, add(t, bn(t, v), v[5])); }};
}
OpCase conv_bn_case(Shape x, int64_t k, int stride) {
  OpCase c = conv_case(x, k, 3, {stride, 1});
  c.op = "conv2d_bn";
  const std::vector<CaseInput> more = bn_inputs({1, k, 1, 1});
  c.in.insert(c.in.end(), more.begin() + 1, more.end());
  c.record = [stride](Tape& t, Vars v) {
    return batch_norm(t, conv2d(t, v[0], v[1], {stride, 1}), v[2], v[3], {v[4], v[5]}, {});
  };
  return c;
}
OpCase relu_case(Shape x) {
  return {"relu", x.str(), {{"x", x, Role::activation, Fill::off_zero, 0.1f, 1}}, [](Tape& t, Vars v) {
            return relu(t, v[0]);
          }};
}
OpCase add_case(Shape x) {
  return {"add", x.str(), {{"a", x}, {"b", x}}, [](Tape& t, Vars v) { return add(t, v[0], v[1]); }};
}
OpCase fan_out_case(Shape x) {  // two gradients meet in one value: the tape's `accumulate`
  return {"add", x.str() + " x + x", {{"x", x}}, [](Tape& t, Vars v) { return add(t, v[0], v[0]); }};
}
OpCase max_pool_case(Shape x, MaxPoolAttrs attrs) {
  return {"max_pool",
          rt::format("{} {}x{}/{}", x.str(), attrs.kernel, attrs.kernel, attrs.stride),
          {{"x", x, Role::activation, Fill::distinct}},
          [attrs](Tape& t, Vars v) { return max_pool(t, v[0], attrs); }};
}
OpCase avg_pool_case(Shape x) {
  return {"global_avg_pool", x.str(), {{"x", x}}, [](Tape& t, Vars v) { return global_avg_pool(t, v[0]); }};
}
OpCase linear_case(int64_t n, int64_t c, int64_t k) {
  return {"linear",
          rt::format("[{},{}] -> {}", n, c, k),
          {{"x", {n, c}}, {"w", {k, c}, Role::parameter}, {"bias", {k}, Role::parameter}},
          [](Tape& t, Vars v) { return linear(t, v[0], v[1], v[2]); }};
}
OpCase cross_entropy_case(int64_t n, int64_t k, double smoothing) {
  return {"cross_entropy",
          rt::format("[{},{}] smoothing {}", n, k, smoothing),
          {{"logits", {n, k}, Role::activation, Fill::uniform, -3, 3},
           {"labels", {n}, Role::labels, Fill::uniform, 0, static_cast<float>(k)}},
          [smoothing](Tape& t, Vars v) { return cross_entropy(t, v[0], v[1], smoothing).loss; }};
}
OpCase layout_case(Shape x, Role role = Role::activation) {
  return {"layout", x.str(), {{"x", x, role}}, [](Tape& t, Vars v) {
            const Spec& s = t.spec(v[0]);
            return convert(t, v[0], s.dtype, s.layout == Layout::nchw ? Layout::nhwc : Layout::nchw);
          }};
}
OpCase casts_case(Shape a, Shape b, Shape c) {
  return {"layout",
          rt::format("{} {} {} in another type", a.str(), b.str(), c.str()),
          {{"a", a}, {"b", b}, {"c", c}},
          [](Tape& t, Vars v) {
            Var last;
            for (Var x : v) {
              const Spec& s = t.spec(x);
              last = convert(t, x, s.dtype == DType::f32 ? DType::bf16 : DType::f32, s.layout);
            }
            return last;
          },
          false};
}
OpCase augment_case(Shape pixels, int64_t n, AugmentAttrs attrs) {
  const float stored = static_cast<float>(pixels.n());
  return {"augment",
          rt::format("{} of {} {} {}", n, pixels.str(), name_of(attrs.dtype), name_of(attrs.layout)),
          {{"pixels", pixels, Role::bytes},
           {"rows", {n}, Role::labels, Fill::uniform, 0, stored},
           {"samples", {n}, Role::labels, Fill::uniform, 0, 50000},
           {"epoch", {1}, Role::labels, Fill::uniform, 0, 90},
           {"table", {3, 256}, Role::state, Fill::uniform, -2, 2}},
          [attrs](Tape& t, Vars v) { return augment(t, v[0], v[1], v[2], v[3], v[4], attrs); },
          false};
}
CaseInput control_input(float scale, float good, float stop) {
  return {"control", {4}, Role::state, Fill::uniform, 0, 0, {scale, good, 1, stop}};
}
// A whole update. The weights to compute with are the first that decay, and exist in half precision only.
struct SgdCase {
  int64_t parameters, decayed;
  OptimizerAttrs attrs = {.nesterov = false};
  ControlAttrs control = {};
  float stop = 0;
};
OpCase sgd_case(const SgdCase& c) {
  const Shape p{c.parameters}, statistics{std::max<int64_t>(c.parameters / 100, 1)};
  const std::vector<FlatSlice> slices{
      {.name = "decaying", .shape = {c.decayed}},
      {.name = "others", .shape = {c.parameters - c.decayed}, .offset = c.decayed, .decays = false}};
  return {"sgd",
          rt::format("{} of {} decay{}{}{}", c.decayed, c.parameters, c.attrs.nesterov ? ", nesterov" : "",
                     c.control.clip_norm > 0 ? ", clipped" : "", c.stop != 0 ? ", stopped" : ""),
          {{"weights", p, Role::state},
           {"grads", p, Role::state, Fill::uniform, -1, 1},
           {"momentum", p, Role::state, Fill::uniform, -0.01f, 0.01f},
           {"lr", {}, Role::state, Fill::uniform, 0.01f, 0.1f},
           {"loss", {}, Role::state},
           control_input(256, 3, c.stop),
           {"running", statistics, Role::state},
           {"running_fresh", statistics, Role::state},
           {"compute", {c.decayed}, Role::image},
           {"updates", {}, Role::labels, Fill::uniform, 0, 0, {17}}},
          [c, slices](Tape& t, Vars v) {
            const bool half = t.spec(v[8]).dtype != DType::f32;
            const UpdateVars vars{.weights = v[0],
                                  .grads = v[1],
                                  .slots = {{"momentum", v[2]}},
                                  .parameters = slices,
                                  .lr = v[3],
                                  .loss = v[4],
                                  .control = v[5],
                                  .updates = v[9],
                                  .running = v[6],
                                  .running_fresh = v[7],
                                  .compute = half ? v[8] : Var{}};
            return record_update(t, vars, optimizer_named("sgd"), c.attrs, c.control);
          },
          false};
}
OpCase loss_scale_case() {
  return {"loss_scale",
          "scalar",
          {{"weight", {}, Role::state}, control_input(65536, 0, 0)},
          [](Tape& t, Vars v) { return scaled_weight(t, v[0], v[1]); },
          false};
}
OpCase report_case(bool with_norm) {
  return {"report",
          with_norm ? "of an update" : "without an update",
          {{"loss", {}, Role::state},
           {"correct", {2}, Role::labels, Fill::uniform, 0, 512},
           control_input(1024, 7, 1),
           {"norm", {3}, Role::state},
           {"report", {report_fields}, Role::state}},
          [with_norm](Tape& t, Vars v) {
            report(t, v[0], v[1], v[2], with_norm ? v[3] : Var{}, v[4]);
            return v[4];
          },
          false};
}

// Nets. The list of inputs and the code that takes them in the same order are written as one function: run with a tape
// it records, without one it lists.
class Net {
 public:
  explicit Net(std::vector<CaseInput>& inputs) : list_(&inputs) {}
  Net(Tape& tape, Vars inputs) : tape_(&tape), vars_(inputs) {}

  Var take(const CaseInput& input) {
    if (tape_) return vars_[next_++];
    list_->push_back(input);
    return {};
  }
  Var conv_bn(Var x, int64_t c, int64_t k, int64_t size, int stride) {
    const std::string n = rt::format("{}", ++convs_);
    const Conv2dAttrs attrs{stride, static_cast<int>(size / 2)};
    const float bound = 1.5f / std::sqrt(static_cast<float>(c * size * size));
    const Var w = take({"conv" + n, {k, c, size, size}, Role::parameter, Fill::uniform, -bound, bound});
    const Var gamma = take({"gamma" + n, {k}, Role::parameter, Fill::uniform, 0.5f, 1.5f});
    const Var beta = take({"beta" + n, {k}, Role::parameter, Fill::uniform, -0.3f, 0.3f});
    const Var mean = take({"mean" + n, {k}, Role::state, Fill::uniform, -0.5f, 0.5f});
    const Var var = take({"var" + n, {k}, Role::state, Fill::uniform, 0.5f, 1.5f});
    return tape_ ? batch_norm(*tape_, conv2d(*tape_, x, w, attrs), gamma, beta, {mean, var}, {}) : Var{};
  }
  Var relu(Var x) { return tape_ ? rt::relu(*tape_, x) : x; }
  Var max_pool(Var x) { return tape_ ? rt::max_pool(*tape_, x, {}) : x; }
  Var join(Var a, Var b) { return tape_ ? rt::relu(*tape_, add(*tape_, a, b)) : a; }
  Var sum(Var a, Var b) { return tape_ ? add(*tape_, a, b) : a; }
  Var basic_block(Var x, int64_t c, int64_t k, int stride) {
    const Var main = conv_bn(relu(conv_bn(x, c, k, 3, stride)), k, k, 3, 1);
    return join(main, c == k ? x : conv_bn(x, c, k, 1, stride));
  }
  Var bottleneck(Var x, int64_t c, int64_t k, int stride) {
    const Var main = conv_bn(relu(conv_bn(relu(conv_bn(x, c, k, 1, 1)), k, k, 3, stride)), k, 4 * k, 1, 1);
    return join(main, c == 4 * k ? x : conv_bn(x, c, 4 * k, 1, stride));
  }
  Var classify(Var x, int64_t n, int64_t c, int64_t classes) {
    const Var w = take({"fc.weight", {classes, c}, Role::parameter}), b = take({"fc.bias", {classes}, Role::parameter});
    const Var labels = take({"labels", {n}, Role::labels, Fill::uniform, 0, static_cast<float>(classes)});
    return tape_ ? cross_entropy(*tape_, linear(*tape_, global_avg_pool(*tape_, x), w, b), labels, 0.1).loss : Var{};
  }

 private:
  std::vector<CaseInput>* list_ = nullptr;
  Tape* tape_ = nullptr;
  Vars vars_;
  size_t next_ = 0;
  int convs_ = 0;
};

Var basic_net(Net& net) {
  Var x = net.take({"images", {4, 3, 8, 8}});
  x = net.relu(net.conv_bn(x, 3, 8, 3, 1));
  x = net.basic_block(x, 8, 16, 2);
  x = net.basic_block(x, 16, 16, 1);
  return net.classify(x, 4, 16, 7);
}
Var bottleneck_net(Net& net) {
  Var x = net.take({"images", {3, 3, 17, 15}});
  x = net.max_pool(net.relu(net.conv_bn(x, 3, 8, 7, 2)));
  x = net.bottleneck(x, 8, 4, 2);
  x = net.bottleneck(x, 16, 4, 1);
  return net.classify(x, 3, 16, 5);
}
// Convolutions beside all that one of them may do the work of: what it reads comes from a batch norm or does not, has other
// readers or none, and what it writes is normalised with or without a ReLU.
template <int images, int channels = 16, int height = 9, int width = 13>
Var neighbours_net(Net& net) {
  constexpr int c = channels;
  Var x = net.take({"images", {images, c, height, width}});
  const Var others = net.take({"other images", {images, c, height, width}});
  x = net.basic_block(x, c, c, 1);
  x = net.sum(net.conv_bn(x, c, c, 3, 1), x);
  x = net.sum(net.conv_bn(x, c, c, 3, 1), x);
  return net.sum(net.conv_bn(net.relu(net.conv_bn(others, c, c, 3, 1)), c, c, 3, 1), x);
}
template <int images, int channels, int height, int width>
Var two_blocks(Net& net) {  // the first one's end is the second one's input, and its skip connection
  const Var x = net.take({"images", {images, channels, height, width}});
  return net.basic_block(net.basic_block(x, channels, channels, 1), channels, channels, 1);
}
OpCase net_case(std::string label, Var (*net)(Net&)) {
  OpCase c{"net", std::move(label), {}, [net](Tape& t, Vars v) {
             Net recording(t, v);
             return net(recording);
           }};
  Net listing(c.in);
  net(listing);
  return c;
}

void fill(const CaseInput& input, uint32_t number, const View& view) {
  if (view.spec.dtype == DType::f16 || view.spec.dtype == DType::bf16) {  // the f32 numbers, rounded
    const Tensor wide({view.spec.shape, DType::f32, view.spec.layout});
    fill(input, number, wide.view());
    return copy_convert(wide.view(), view);
  }
  Rng rng(20240607, RngPurpose::test, number);
  const int64_t count = view.numel();
  if (view.spec.dtype == DType::u8) {
    for (int64_t i = 0; i < count; ++i) view.as<uint8_t>()[i] = static_cast<uint8_t>(rng.below(256));
    return;
  }
  std::vector<uint32_t> order;
  if (input.fill == Fill::distinct) order = shuffled(static_cast<uint32_t>(count), 20240607, RngPurpose::test, number);
  int64_t drawn = 0;
  auto draw = [&] {
    if (!input.numbers.empty()) return input.numbers[static_cast<size_t>(drawn++)];
    if (input.fill == Fill::distinct)
      return input.low + (input.high - input.low) * static_cast<float>(order[static_cast<size_t>(drawn++)]) /
                             static_cast<float>(count);
    const float v = rng.uniform(input.low, input.high);
    return input.fill == Fill::off_zero && rng.below(2) ? -v : v;
  };
  auto put = [&](int64_t i) {
    if (view.spec.dtype == DType::i32)
      view.as<int32_t>()[i] = static_cast<int32_t>(draw());
    else if (view.spec.dtype == DType::f64)
      view.as<double>()[i] = static_cast<double>(draw());
    else
      view.as<float>()[i] = draw();
  };
  const Shape& s = view.shape();
  if (s.rank() < 4) {
    for (int64_t i = 0; i < count; ++i) put(i);
    return;
  }
  const Strides t = view.spec.strides();  // in logical order, so that every layout gets the same numbers
  for (int64_t n = 0; n < s.n(); ++n)
    for (int64_t c = 0; c < s.c(); ++c)
      for (int64_t h = 0; h < s.h(); ++h)
        for (int64_t w = 0; w < s.w(); ++w) put(n * t.n + c * t.c + h * t.h + w * t.w);
}

}  // namespace

std::vector<OpCase> small_cases() {
  return {
      conv_case({2, 3, 8, 8}, 8, 3, {1, 1}),
      conv_case({2, 8, 9, 7}, 16, 3, {1, 1}),
      conv_case({1, 33, 6, 5}, 35, 3, {1, 1}),
      conv_case({2, 64, 4, 4}, 32, 3, {1, 1}),
      conv_case({3, 6, 2, 1}, 5, 3, {1, 1}),
      conv_case({2, 4, 6, 5}, 9, 3, {1, 0}),
      conv_case({2, 5, 9, 7}, 6, 3, {2, 1}),
      conv_case({2, 16, 8, 8}, 32, 3, {2, 1}),
      conv_case({2, 4, 7, 5}, 19, 1, {1, 0}),
      conv_case({2, 8, 8, 8}, 16, 1, {2, 0}),
      conv_case({2, 5, 7, 9}, 6, 1, {2, 0}),
      conv_case({2, 3, 15, 13}, 8, 7, {2, 3}),
      bn_case({3, 5, 4, 3}),
      bn_case({2, 33, 3, 3}),
      bn_inference_case({3, 5, 4, 3}),
      bn_inference_case({2, 32, 5, 3}),
      bn_relu_case({3, 5, 4, 3}),
      bn_relu_case({2, 32, 5, 3}),
      bn_add_relu_case({3, 5, 4, 3}),
      bn_add_relu_case({2, 32, 5, 3}),
      relu_case({2, 5, 4, 3}),
      relu_case({3, 33, 7, 5}),
      add_case({2, 5, 4, 3}),
      add_case({3, 33, 7, 5}),
      fan_out_case({2, 5, 4, 3}),
      max_pool_case({2, 5, 7, 6}, {}),
      max_pool_case({2, 16, 6, 6}, {2, 2, 0}),
      max_pool_case({2, 8, 5, 6}, {3, 1, 1}),
      max_pool_case({1, 4, 9, 8}, {2, 3, 0}),
      avg_pool_case({3, 5, 4, 3}),
      avg_pool_case({2, 24, 7, 7}),
      avg_pool_case({2, 64, 4, 4}),
      linear_case(5, 7, 3),
      linear_case(6, 64, 10),
      cross_entropy_case(5, 7, 0),
      cross_entropy_case(5, 7, 0.1),
      cross_entropy_case(4, 3, 0.1),
      layout_case({2, 5, 4, 3}),
      casts_case({2, 5, 4, 3}, {3, 7, 21, 13}, {1, 1, 1, 3}),
      augment_case({4, 3, 6, 9}, 5, {.dtype = DType::f32}),
      augment_case({4, 3, 6, 9}, 5, {2, true, true, 9, DType::f32, Layout::nhwc}),
      augment_case({7, 3, 8, 8}, 3, {4, true, true, 9, DType::f16, Layout::nhwc}),
      augment_case({7, 3, 5, 7}, 3, {9, true, true, 9, DType::f16, Layout::nchw}),
      augment_case({2, 3, 8, 8}, 9, {0, true, true, 9, DType::bf16, Layout::nchw}),
      augment_case({2, 3, 9, 6}, 4, {3, false, true, 9, DType::bf16, Layout::nhwc}),
      sgd_case({.parameters = 50, .decayed = 50}),
      sgd_case({.parameters = 1003, .decayed = 997, .control = {.dynamic_scale = true}}),
      sgd_case({.parameters = 1003, .decayed = 501, .stop = 1}),
      loss_scale_case(),
      report_case(true),
      report_case(false),
      net_case("basic blocks, downsample and identity", basic_net),
      net_case("bottlenecks, imagenet stem", bottleneck_net),
      net_case("neighbours of convolutions", neighbours_net<3>),
  };
}

std::vector<OpCase> parity_cases() {
  std::vector<OpCase> cases = small_cases();
  for (OpCase c :
       {bn_case({17, 3, 32, 31}),
        bn_far_mean_case({16, 24, 20, 20}),
        bn_relu_case({2, 264, 3, 3}),
        bn_case({16, 24, 20, 20}),
        bn_relu_case({16, 24, 20, 20}),
        bn_add_relu_case({16, 24, 20, 20}),
        relu_case({8, 64, 17, 16}),
        fan_out_case({8, 64, 17, 16}),
        conv_case({3, 64, 12, 12}, 64, 3, {1, 1}),
        conv_case({19, 32, 14, 10}, 16, 3, {1, 1}),
        conv_case({7, 16, 30, 30}, 16, 3, {1, 1}),
        conv_case({2, 80, 5, 6}, 144, 3, {1, 1}),
        conv_case({3, 64, 12, 12}, 128, 3, {2, 1}),
        conv_case({1, 3, 64, 60}, 64, 7, {2, 3}),
        max_pool_case({4, 64, 32, 30}, {}),
        net_case("neighbours of convolutions, more images", neighbours_net<19>),
        conv_bn_case({19, 32, 14, 10}, 16, 1),
        conv_bn_case({5, 16, 9, 13}, 48, 2),
        linear_case(33, 512, 100),
        cross_entropy_case(37, 1000, 0.1),
        augment_case({3, 3, 64, 56}, 3, {8, true, true, 1, DType::bf16, Layout::nhwc}),
        sgd_case({.parameters = 40001, .decayed = 30001, .attrs = {.nesterov = true}, .control = {.clip_norm = 0.1}})})
    cases.push_back(std::move(c));
  return cases;
}

std::vector<OpCase> large_cases() {
  return {net_case("neighbours of convolutions, large images", neighbours_net<7, 16, 31, 30>),
          net_case("neighbours of convolutions, many channels", neighbours_net<9, 144, 13, 13>),
          net_case("two blocks, large images", two_blocks<7, 16, 31, 30>),
          net_case("two blocks, many channels", two_blocks<9, 144, 13, 13>)};
}

std::vector<Layout> layouts_of(const OpCase& c) {
  const bool any = std::any_of(c.in.begin(), c.in.end(), [](const CaseInput& i) {
    return i.shape.rank() == 4 && (i.role == Role::activation || i.role == Role::image);
  });
  return any ? std::vector{Layout::nchw, Layout::nhwc} : std::vector{Layout::nchw};
}

CaseRun::CaseRun(const OpCase& c, DType dtype, Layout layout, Device device) : op_case(c), dtype_(dtype) {
  for (const CaseInput& input : c.in) {
    const bool follows = input.role == Role::activation || input.role == Role::image ||
                         (input.role == Role::parameter && device == Device::cuda);
    const bool half = dtype == DType::f16 || dtype == DType::bf16;
    const bool stays_f32 =
        half && (input.role == Role::state || (input.role == Role::parameter && input.shape.rank() == 1));
    values.emplace_back(Spec{input.shape,
                             input.role == Role::labels  ? DType::i32
                             : input.role == Role::bytes ? DType::u8
                             : stays_f32                 ? DType::f32
                                                         : dtype,
                             follows && input.shape.rank() == 4 ? layout : Layout::nchw});
    fill(input, static_cast<uint32_t>(values.size()), values.back().view());
  }
}

bool CaseRun::wants_gradient(size_t i) const {
  return op_case.in[i].role == Role::activation || op_case.in[i].role == Role::parameter;
}

void CaseRun::upload() {
  for (const Tensor& value : values) {
    device_.emplace_back(value.spec().bytes(), Device::cuda);
    write_to({value.spec(), device_.back().data()}, Device::cuda, value.view().data);
  }
}
View CaseRun::where(const Tensor& value, size_t i) const {
  return {value.spec(), device_.empty() ? value.view().data : device_[i].data()};
}

void CaseRun::forward(Tape& tape) {
  in.clear();
  for (size_t i = 0; i < values.size(); ++i)
    in.push_back(tape.external(where(values[i], i), op_case.in[i].name, wants_gradient(i)));
  out = op_case.record(tape, in);
}

void CaseRun::record(Tape& tape) {
  forward(tape);
  if (!op_case.has_backward) return;
  direction = Tensor(tape.spec(out));
  fill({"direction", {}, Role::state, Fill::off_zero, 0.5f, 1.5f}, 0, direction.view());
  if (!device_.empty()) {
    device_.resize(values.size());
    device_.emplace_back(direction.spec().bytes(), Device::cuda);
    write_to({direction.spec(), device_.back().data()}, Device::cuda, direction.view().data);
  }
  tape.backward(out, tape.external(where(direction, values.size()), "direction"));
}

std::vector<Var> CaseRun::outputs(const Tape& tape) const {
  std::vector<Var> list{out};
  for (size_t i = 0; i < in.size(); ++i) {
    if (op_case.has_backward && wants_gradient(i)) list.push_back(tape.gradient(in[i]));
    if (op_case.in[i].role == Role::state) list.push_back(in[i]);
  }
  return list;
}

}  // namespace rt
