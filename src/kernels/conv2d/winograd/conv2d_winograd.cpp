// Forward and backward as blocks of tiles pass by: transform, 36 or 81 matrix products, inverse transform.
#include "kernels/conv2d/winograd/conv2d_winograd.hpp"

#include "kernels/batch_norm/batch_norm.hpp"
#include "kernels/batch_norm/batch_norm_channels.hpp"
#include "kernels/conv2d/direct/conv2d_few.hpp"
#include "kernels/conv2d/winograd/products.hpp"

namespace rt {

double winograd_share(const Conv2dShape& s) {
  constexpr int64_t tile = 4, taps = 9;
  const int64_t points = s.stride == 1 ? 36 : 81;
  const int64_t tiles = ceil_div(s.p, tile) * ceil_div(s.q, tile);
  return static_cast<double>(tiles * points) / static_cast<double>(s.p * s.q * taps);
}

}  // namespace rt

namespace rt::cpu {
namespace winograd {
namespace {

// A step's operands, by the names that conv2d_fusion.hpp gives them; what a step does not have is null.
template <class T>
struct Forward {
  const T *x, *w;
  BatchNormOf on_load;
  T* y;
  BatchNormStats stats;
};
template <class T>
struct Backward {
  const T *dy, *z, *t_of_dy;
  BatchNormOf of_bn;
  const T* x;
  BatchNormOf on_load;
  const T *w, *other, *summed;
  const float* mean;  // of what is summed
  T *d, *dx, *dw;
  BatchNormSums sums;
};

// `space`: 2 * channels floats
WinogradOnLoad scale_and_shift(const BatchNormOf& norm, int64_t channels, float* space) {
  norm.affine(channels, space, space + channels);
  return {.scale = space, .shift = space + channels};
}

// A forward pass and its parts of the workspace.
template <class T>
struct ForwardRun {
  Layer<T> layer;
  Space space;
  Weights<T> weights;
  float *v, *m;
  float* on_load;  // scale and shift
  float* sums;     // what `stats` needs, by image
  ForwardRun(const Kernels& kernels, const Conv2dFusion& f, const Conv2dShape& s, const T* w, void* workspace)
      : layer(kernels, s),
        space{.base = static_cast<float*>(workspace)},
        weights(layer, w, false, true, space),
        v(space.take(layer.sets() * layer.floats(s.c))),
        m(space.take(layer.sets() * layer.floats(s.k))),
        on_load(space.take(f.on_load ? 2 * s.c : 0)),
        sums(space.take(f.stats ? s.n * 3 * s.k : 0)) {}
};

// A backward pass and its parts of the workspace.
template <class T>
struct BackwardRun {
  Layer<T> layer;
  Conv2dFusion fusion;
  Backward<T> o;
  Space space;
  Weights<T> weights;
  WeightGradients<T> gradients;
  float *v, *m;     // dV takes V's place when dU has been summed
  float* dx_image;  // where dx is not f32: one image per thread, in which tiles are added up
  float* of_bn;     // scale, shift, mean_dy, slope
  float* on_load;   // scale and shift
  double* sums;     // by image: of d, and of d * (t - mean)
  BackwardRun(const Kernels& kernels, const Conv2dFusion& f, const Conv2dShape& s, const Backward<T>& operands,
              void* workspace)
      : layer(kernels, s),
        fusion(f),
        o(operands),
        space{.base = static_cast<float*>(workspace)},
        weights(layer, o.w, true, f.has_dx, space),
        gradients(layer, o.dw, f.has_dw, space),
        v(space.take(layer.sets() * layer.floats(s.c))),
        m(space.take(layer.sets() * layer.floats(s.k))),
        dx_image(space.take(f.has_dx && !std::is_same_v<T, float> ? layer.schedule.threads * image() : 0)),
        of_bn(space.take(f.of_bn() ? 4 * s.k : 0)),
        on_load(space.take(f.on_load ? 2 * s.c : 0)),
        sums(reinterpret_cast<double*>(space.take(f.sums ? 4 * s.n * s.c : 0))) {}
  int64_t image() const { return layer.s.h * layer.s.w * layer.s.c; }  // numbers of x

  WinogradBatchNorm<T> norm_of_dy() const {
    if (!fusion.of_bn()) return {};
    const int64_t k = layer.s.k;
    float *const scale = of_bn, *const shift = of_bn + k, *const mean_dy = of_bn + 2 * k, *const slope = of_bn + 3 * k;
    o.of_bn.affine(k, scale, shift);
    o.of_bn.slopes(k, static_cast<float>(layer.s.n * layer.s.p * layer.s.q), mean_dy, slope);
    return {.x = o.t_of_dy,
            .z = o.z,
            .d = o.d,
            .mean = o.of_bn.mean,
            .scale = scale,
            .shift = shift,
            .mean_dy = mean_dy,
            .slope = slope};
  }
  // The ReLU's mask of what is summed.
  ReluMask<T> mask(int64_t at, int64_t channel) const {
    if (fusion.on_load) return {nullptr, on_load + channel, on_load + layer.s.c + channel};
    return {o.x + at};
  }

  // dX of the share's tiles. They add up in dx itself, or where dx is bf16, in an image of f32, which is rounded when
  // its last tile has been added.
  void input_gradients(const Share& share, WinogradPlanes dv) const {
    constexpr bool rounds = !std::is_same_v<T, float>;
    const Conv2dShape& s = layer.s;
    const int64_t per_image = layer.in.tiles(), end = share.part.first + share.part.tiles;
    const int64_t channel = share.part.channel, channels = share.part.channels, pixels = s.h * s.w;
    WinogradPlanes from = share.of(dv);
    for (int64_t t = share.part.first; t < end;) {
      const int64_t n = t / per_image, next = std::min(end, (n + 1) * per_image), at = n * image() + channel;
      float* to;
      if constexpr (rounds) {
        to = dx_image + omp_get_thread_num() * image() - n * image();
      } else {
        to = o.dx;
        if (o.other && o.other != o.dx && t == n * per_image)
          layer.transform.convert(o.other + at, nullptr, o.dx + at, pixels, s.c, channels);
      }
      const WinogradPart part{.first = t, .tiles = next - t, .channel = channel, .channels = channels};
      layer.transform.input_gradients(layer.in, part, from, to, !rounds && o.other);
      from.data += (next - t) * from.row;
      t = next;
      if (t < (n + 1) * per_image) continue;
      if constexpr (rounds)
        layer.transform.convert(to + at, o.other ? o.other + at : nullptr, o.dx + at, pixels, s.c, channels);
      if (fusion.sums)
        kernels_of<T>(layer.batch_norm)
            .sums(o.dx + at, mask(at, channel), o.summed + at, o.mean + channel, pixels, s.c, channels,
                  sums + 2 * n * s.c + channel, sums + (2 * n + 1) * s.c + channel);
    }
  }

  // dU's and dX's products of one block, by a thread alone. While dU's product runs, the plane of U for dX is
  // prefetched; while dX's does, the next plane of dU.
  void multiply_alone(const Block& block, WinogradPlanes v_planes, WinogradPlanes m_planes) const {
    const bool dx = fusion.has_dx, dw = fusion.has_dw;
    const int64_t tiles = block.tiles;
    float* const du = gradients.du + block.chunk * gradients.floats();
    layer.products.each([&](const Product& product, const Product* next) {
      Prefetches of_dw = gradients.prefetch(next, tiles, du, v_planes, m_planes);
      Prefetches of_dx = weights.prefetch(next, tiles, m_planes, v_planes);
      if (layer.prefetches && dx && dw) {
        of_dx = next ? Prefetches{of_dw[0]} : Prefetches{};
        of_dw[0] = weights.plane_of(product);
      }
      if (dw)
        gradients.accumulate_plane(product, block.begins, tiles, {.first = 0, .count = layer.s.k}, du, v_planes,
                                   m_planes, of_dw);
      if (dx)
        weights.multiply_plane(product, tiles, weights.u, {.first = 0, .count = layer.s.c}, m_planes, v_planes, of_dx);
    });
  }
};

// Merges sums as WinogradKernels::outputs leaves them, of `count` values each, over the images in order (Chan, Golub &
// LeVeque, 1979).
void finish_stats(const float* sums, int64_t images, int64_t channels, int64_t count, const BatchNormStats& stats) {
#pragma omp parallel for schedule(static)
  for (int64_t c = 0; c < channels; ++c) {
    double total = 0, m2 = 0;
    for (int64_t n = 0; n < images; ++n) {
      const float* image = sums + n * 3 * channels + c;
      const double off = static_cast<double>(image[channels]) / static_cast<double>(count);
      const double image_mean = static_cast<double>(image[0]) + off, delta = image_mean - total;
      m2 += static_cast<double>(image[2 * channels]) - static_cast<double>(image[channels]) * off +
            delta * delta * static_cast<double>(count) * static_cast<double>(n) / static_cast<double>(n + 1);
      total += delta / static_cast<double>(n + 1);
    }
    m2 = std::max(m2, 0.0);  // differences of nearly equal sums may round below
    stats.set(c, total, m2, static_cast<double>(images * count));
  }
}

template <class T>
void forward(const Kernels& kernels, const Conv2dFusion& fusion, const Conv2dShape& s, const Forward<T>& o,
             void* workspace) {
  const ForwardRun<T> f(kernels, fusion, s, o.w, workspace);
  const Layer<T>& layer = f.layer;
  const bool together = layer.schedule.together;
  const int64_t per_image = layer.in.tiles();
  WinogradOnLoad on_load;
  if (fusion.on_load) on_load = scale_and_shift(o.on_load, s.c, f.on_load);
  f.weights.make_all();
  each_block(layer.schedule, s.n, per_image, [&](Team& team, const Block& block) {
    const WinogradPlanes v = layer.planes(f.v + block.set * layer.floats(s.c), s.c);
    const WinogradPlanes m = layer.planes(f.m + block.set * layer.floats(s.k), s.k);
    const Share from(team, block.first, block.tiles, s.c, false, 0);
    const Share to(team, block.first, block.tiles, s.k, together, per_image);
    layer.transform.windows(layer.in, from.part, o.x, on_load, from.of(v));
    team.wait();
    if (together)
      f.weights.multiply(team, block.tiles, v, m);
    else
      layer.products.each([&](const Product& product, const Product* next) {
        f.weights.multiply_plane(product, block.tiles, f.weights.u, {.first = 0, .count = s.k}, v, m,
                                 f.weights.prefetch(next, block.tiles, v, m));
      });
    team.wait();
    layer.transform.outputs(layer.out, to.part, to.of(m), o.y, fusion.stats ? f.sums : nullptr);
  });
  if (fusion.stats) finish_stats(f.sums, s.n, s.k, s.p * s.q, o.stats);
}

template <class T>
void backward(const Kernels& kernels, const Conv2dFusion& fusion, const Conv2dShape& s, const Backward<T>& o,
              void* workspace) {
  const BackwardRun<T> b(kernels, fusion, s, o, workspace);
  const Layer<T>& layer = b.layer;
  const bool dx = fusion.has_dx, dw = fusion.has_dw, together = layer.schedule.together;
  const int64_t per_image = layer.in.tiles();
  const WinogradBatchNorm<T> norm_of_dy = b.norm_of_dy();
  WinogradOnLoad on_load;
  if (fusion.on_load) on_load = scale_and_shift(o.on_load, s.c, b.on_load);
  if (dx) b.weights.make_all();
  each_block(layer.schedule, s.n, per_image, [&](Team& team, const Block& block) {
    const WinogradPlanes v = layer.planes(b.v + block.set * layer.floats(s.c), s.c);
    const WinogradPlanes m = layer.planes(b.m + block.set * layer.floats(s.k), s.k);
    const Share from(team, block.first, block.tiles, s.k, false, 0);
    const Share in(team, block.first, block.tiles, s.c, false, 0);
    const Share to(team, block.first, block.tiles, s.c, together, per_image);
    layer.transform.gradients(layer.out, from.part, o.dy, norm_of_dy, from.of(m));
    if (dw) layer.transform.windows(layer.in, in.part, o.x, on_load, in.of(v));
    team.wait();
    if (together) {
      if (dw) b.gradients.accumulate(team, block.begins, block.tiles, v, m);
      if (dx && dw) team.wait();
      if (dx) b.weights.multiply(team, block.tiles, m, v);
      team.wait();
    } else {
      b.multiply_alone(block, v, m);
    }
    if (dx) {
      b.input_gradients(to, v);
      team.wait();  // the next block's V goes where others may still read dV
    }
  });
  if (dw) b.gradients.finish_all();
  if (fusion.sums) o.sums.set(b.sums, s.n, s.c);
}

// An operand with one f32 per channel; null where the step does not have it.
const float* numbers(const Args& a, std::string_view operand) {
  const View* v = a.find_input(operand);
  return v ? v->as<float>() : nullptr;
}
float* results(const Args& a, std::string_view operand) {
  const View* v = a.find_output(operand);
  return v ? v->as<float>() : nullptr;
}

template <class T>
size_t workspace_bytes(const Kernels& kernels, const Conv2dFusion& f, const Conv2dShape& s) {
  const int64_t floats = f.backward() ? BackwardRun<T>(kernels, f, s, {}, nullptr).space.used
                                      : ForwardRun<T>(kernels, f, s, nullptr, nullptr).space.used;
  return static_cast<size_t>(floats) * sizeof(float);
}

// Those operands of a batch norm that belong to a channel; what the step does not have is null.
BatchNormOf norm_of_x(const Args& a) {
  return {.mean = numbers(a, "mean_x"),
          .rstd = numbers(a, "rstd_x"),
          .gamma = numbers(a, "gamma_x"),
          .beta = numbers(a, "beta_x")};
}
BatchNormOf norm_of_t(const Args& a) {
  return {.mean = numbers(a, "mean_t"),
          .rstd = numbers(a, "rstd_t"),
          .gamma = numbers(a, "gamma_t"),
          .beta = numbers(a, "beta_t"),
          .dgamma = numbers(a, "dgamma_t"),
          .dbeta = numbers(a, "dbeta_t")};
}

template <class T>
void run_as(const Kernels& kernels, const Args& a) {
  const Conv2dFusion f(a.kind);
  const Conv2dShape shape = conv2d_shape(a);
  auto in = [&](std::string_view operand) {
    const View* v = a.find_input(operand);
    return v ? v->as<T>() : nullptr;
  };
  auto out = [&](std::string_view operand) {
    const View* v = a.find_output(operand);
    return v ? v->as<T>() : nullptr;
  };
  if (!f.backward()) {
    const Forward<T> o{.x = in("x"),
                       .w = in("w"),
                       .on_load = norm_of_x(a),
                       .y = out("y"),
                       .stats = {.mean = results(a, "mean"),
                                 .rstd = results(a, "rstd"),
                                 .var = results(a, "var"),
                                 .eps = f.stats ? batch_norm_attrs(a.ops).eps : 0}};
    return forward(kernels, f, shape, o, a.workspace);
  }
  const BatchNormOf on_load = norm_of_x(a);
  const Backward<T> o{.dy = in("dy"),
                      .z = in("z"),
                      .t_of_dy = in("t"),
                      .of_bn = norm_of_t(a),
                      .x = in("x"),
                      .on_load = on_load,
                      .w = in("w"),
                      .other = in("other"),
                      .summed = f.on_load ? in("x") : in("s"),
                      .mean = f.on_load ? on_load.mean : numbers(a, "mean_s"),
                      .d = out("dskip"),
                      .dx = out("dx"),
                      .dw = out("dw"),
                      .sums = {.rstd = f.on_load ? on_load.rstd : numbers(a, "rstd_s"),
                               .dgamma = results(a, "dgamma"),
                               .dbeta = results(a, "dbeta")}};
  backward(kernels, f, shape, o, a.workspace);
}

// The backward pass touches twice the memory per product, and gains by asking early; the forward pass rather loses.
bool usually_prefetches(const Conv2dFusion& f) { return f.has_dx && f.has_dw; }

}  // namespace

Variants variants(const Kernels& kernels, const rt::Problem& p) {
  constexpr size_t more = size_t{16} << 20;  // what a larger block may take beyond the usual one
  const Conv2dFusion f(p.kind);
  const Conv2dShape s = conv2d_shape(p);
  auto bytes = [&](int64_t block) {
    Kernels of_block = kernels;
    of_block.variant.block = block;
    return p.in[0].dtype == DType::bf16 ? workspace_bytes<bf16>(of_block, f, s)
                                        : workspace_bytes<float>(of_block, f, s);
  };
  const size_t least = bytes(0);
  const WinogradGrid grid{s.p, s.q, s.k, ceil_div(s.p, 4), ceil_div(s.q, 4)};
  const int64_t rows = kernels.gemm.rows;
  const Schedule usual(s, grid, rows, 0);
  const bool prefetch = usually_prefetches(f);
  Variants found{{{usual.block, prefetch}, {usual.block, !prefetch}}, least};
  // With stride 2 planes share a filter: dU sums them block by block, so its bits depend on the block.
  if (f.has_dw && s.stride == 2) return found;
  const int64_t tiles = usual.together ? Schedule::tiles_together : Schedule::tiles_alone(rows);
  for (const int64_t wanted : {tiles / 2, 2 * tiles}) {
    const int64_t size = Schedule(s, grid, rows, wanted).block;
    const size_t needed = bytes(size);
    if (size == usual.block || needed > least + more) continue;
    found.list.push_back({size, prefetch});
    found.bytes = std::max(found.bytes, needed);
  }
  return found;
}

void run(Kernels kernels, const Args& a) {
  if (kernels.variant.block == 0) kernels.variant.prefetch = usually_prefetches(Conv2dFusion(a.kind));
  a.in[0].spec.dtype == DType::bf16 ? run_as<bf16>(kernels, a) : run_as<float>(kernels, a);
}

std::string refuse(const rt::Problem& p) {
  const Spec &x = conv2d_image(p), &w = conv2d_weight(p);
  if (x.layout != Layout::nhwc) return "needs nhwc";
  if (w.layout == Layout::nhwc) return "needs weights in K,C,R,S order";
  for (std::span<const Spec> specs : {p.in, p.out})
    for (const Spec& spec : specs)
      if (spec.shape.rank() == 4 && spec.dtype != x.dtype) return "needs images and weights of one type";
  if (std::string why = refuse_all_but_f32_bf16(p); !why.empty()) return why;
  const Conv2dShape s = conv2d_shape(p);
  if (s.r != 3 || s.s != 3 || s.stride > 2 || s.pad != 1) return "needs 3x3 of stride 1 or 2 and padding 1";
  if (s.c % 16 != 0 || s.k % 16 != 0) return "needs channels in multiples of 16";
  if (few::fits(s)) return "so few pixels do not repay transforming the weights";
  if (winograd_share(s) > 0.9) return "tiles of 4x4 hang over the edges of so small a map";
  if (x.dtype == DType::bf16 && p.capability >= isa_amx)
    return "tiles of bf16 multiply faster than this saves products";
  if (x.dtype == DType::bf16 && p.capability >= isa_avx512_bf16 && winograd_share(s) > 0.5)
    return "products of bf16 pairs take half the time of f32's";
  return "";
}

}  // namespace winograd

}  // namespace rt::cpu
