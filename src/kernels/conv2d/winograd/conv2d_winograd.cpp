// Forward and backward as blocks of tiles pass by: transform, 36 or 81 matrix products, inverse transform.
#include "kernels/conv2d/winograd/conv2d_winograd.hpp"

#include "kernels/batch_norm/batch_norm.hpp"
#include "kernels/batch_norm/batch_norm_channels.hpp"
#include "kernels/conv2d/direct/conv2d_few.hpp"
#include "kernels/conv2d/winograd/conv2d_winograd_parts.hpp"

namespace rt {

double winograd_share(const Conv2dShape& s) {
  constexpr int64_t tile = 4, taps = 9;
  const int64_t points = s.stride == 1 ? 36 : 81;
  const int64_t tiles = ((s.p + tile - 1) / tile) * ((s.q + tile - 1) / tile);
  return static_cast<double>(tiles * points) / static_cast<double>(s.p * s.q * taps);
}

}  // namespace rt

namespace rt::cpu {
namespace winograd {
namespace {

// The operands that the fusion names, by their names there; what it does not have is null.
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

template <class T>
struct ForwardRun {
  Problem<T> p;
  Space space;
  Weights<T> weights;
  float *v, *m;
  float* on_load;  // scale and shift
  float* sums;
  ForwardRun(const Kernels& kernels, const Conv2dFusion& f, const Conv2dShape& s, const T* w, void* workspace)
      : p(kernels, s),
        space{static_cast<float*>(workspace)},
        weights(p, w, false, true, space),
        v(space.take(p.sets() * p.floats(s.c))),
        m(space.take(p.sets() * p.floats(s.k))),
        on_load(space.take(f.on_load ? 2 * s.c : 0)),
        sums(space.take(f.stats ? s.n * 3 * s.k : 0)) {}
};

template <class T>
struct BackwardRun {
  Problem<T> p;
  Conv2dFusion fusion;
  Backward<T> o;
  Space space;
  Weights<T> weights;
  WeightGradients<T> gradients;
  float *v, *m;     // V's place is dV's when dU has been summed
  float* dx_image;  // where dx is not f32: one image per thread, in which tiles are added up
  float* of_bn;     // scale, shift, mean_dy, slope
  float* on_load;   // scale and shift
  double* sums;     // by image: of d, and of d * (t - mean)
  BackwardRun(const Kernels& kernels, const Conv2dFusion& f, const Conv2dShape& s, const Backward<T>& operands,
              void* workspace)
      : p(kernels, s),
        fusion(f),
        o(operands),
        space{static_cast<float*>(workspace)},
        weights(p, o.w, true, f.has_dx, space),
        gradients(p, o.dw, f.has_dw, space),
        v(space.take(p.sets() * p.floats(s.c))),
        m(space.take(p.sets() * p.floats(s.k))),
        dx_image(space.take(f.has_dx && !std::is_same_v<T, float> ? p.schedule.threads * image() : 0)),
        of_bn(space.take(f.of_bn() ? 4 * s.k : 0)),
        on_load(space.take(f.on_load ? 2 * s.c : 0)),
        sums(reinterpret_cast<double*>(space.take(f.sums ? 4 * s.n * s.c : 0))) {}
  int64_t image() const { return p.s.h * p.s.w * p.s.c; }

  WinogradBatchNorm<T> norm_of_dy() const {
    if (!fusion.of_bn()) return {};
    const int64_t k = p.s.k;
    o.of_bn.affine(k, of_bn, of_bn + k);
    o.of_bn.slopes(k, static_cast<float>(p.s.n * p.s.p * p.s.q), of_bn + 2 * k, of_bn + 3 * k);
    return {o.t_of_dy, o.z, o.d, o.of_bn.mean, of_bn, of_bn + k, of_bn + 2 * k, of_bn + 3 * k};
  }
  ReluMask<T> mask(int64_t at, int64_t channel) const {  // of what is summed
    if (fusion.on_load) return {nullptr, on_load + channel, on_load + p.s.c + channel};
    return {o.x + at};
  }

  // dX of the share's tiles. They add up in dx itself, or where it is bf16, in an image of f32, which is rounded when its last
  // tile has been added.
  void input_gradients(const Share& share, WinogradPlanes dv) const {
    constexpr bool rounds = !std::is_same_v<T, float>;
    const int64_t per_image = p.in.tiles(), end = share.part.first + share.part.tiles;
    const int64_t channel = share.part.channel, channels = share.part.channels, pixels = p.s.h * p.s.w, c = p.s.c;
    WinogradPlanes from = share.of(dv);
    for (int64_t t = share.part.first; t < end;) {
      const int64_t n = t / per_image, next = std::min(end, (n + 1) * per_image), at = n * image() + channel;
      float* to;
      if constexpr (rounds) {
        to = dx_image + omp_get_thread_num() * image() - n * image();
      } else {
        to = o.dx;
        if (o.other && o.other != o.dx && t == n * per_image)
          p.transform.convert(o.other + at, nullptr, o.dx + at, pixels, c, channels);
      }
      p.transform.input_gradients(p.in, {t, next - t, channel, channels}, from, to, !rounds && o.other);
      from.data += (next - t) * from.row;
      t = next;
      if (t < (n + 1) * per_image) continue;
      if constexpr (rounds)
        p.transform.convert(to + at, o.other ? o.other + at : nullptr, o.dx + at, pixels, c, channels);
      if (fusion.sums)
        kernels_of<T>(p.batch_norm)
            .sums(o.dx + at, mask(at, channel), o.summed + at, o.mean + channel, pixels, c, channels,
                  sums + 2 * n * c + channel, sums + (2 * n + 1) * c + channel);
    }
  }
};

// Chan, Golub & LeVeque, 1979, over the images in order: sums as WinogradKernels::outputs leaves them, of `count` values each.
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
  const Problem<T>& p = f.p;
  WinogradOnLoad on_load;
  if (fusion.on_load) {
    on_load = {f.on_load, f.on_load + s.c};
    o.on_load.affine(s.c, f.on_load, f.on_load + s.c);
  }
  f.weights.make_all();
  each_block(p, [&](Team& team, int64_t set, int64_t, int64_t first, int64_t tiles, bool) {
    const WinogradPlanes v = p.planes(f.v + set * p.floats(s.c), s.c), m = p.planes(f.m + set * p.floats(s.k), s.k);
    const Share from(team, first, tiles, s.c, false, 0), to(team, first, tiles, s.k, p.schedule.together, p.in.tiles());
    p.transform.windows(p.in, from.part, o.x, on_load, from.of(v));
    team.wait();
    if (p.schedule.together)
      f.weights.multiply(team, tiles, v, m);
    else
      p.products.each([&](const Product& e, const Product* next) {
        f.weights.product(e, tiles, f.weights.u, {0, s.k}, v, m, f.weights.prefetch(next, tiles, v, m));
      });
    team.wait();
    p.transform.outputs(p.out, to.part, to.of(m), o.y, fusion.stats ? f.sums : nullptr);
  });
  if (fusion.stats) finish_stats(f.sums, s.n, s.k, s.p * s.q, o.stats);
}

template <class T>
void backward(const Kernels& kernels, const Conv2dFusion& fusion, const Conv2dShape& s, const Backward<T>& o,
              void* workspace) {
  const BackwardRun<T> b(kernels, fusion, s, o, workspace);
  const Problem<T>& p = b.p;
  const bool dx = fusion.has_dx, dw = fusion.has_dw;
  const WinogradBatchNorm<T> norm_of_dy = b.norm_of_dy();
  WinogradOnLoad on_load;
  if (fusion.on_load) {
    on_load = {b.on_load, b.on_load + s.c};
    o.on_load.affine(s.c, b.on_load, b.on_load + s.c);
  }
  if (dx) b.weights.make_all();
  each_block(p, [&](Team& team, int64_t set, int64_t chunk, int64_t first, int64_t tiles, bool begins) {
    const WinogradPlanes v = p.planes(b.v + set * p.floats(s.c), s.c), m = p.planes(b.m + set * p.floats(s.k), s.k);
    const Share from(team, first, tiles, s.k, false, 0), in(team, first, tiles, s.c, false, 0),
        to(team, first, tiles, s.c, p.schedule.together, p.in.tiles());
    p.transform.gradients(p.out, from.part, o.dy, norm_of_dy, from.of(m));
    if (dw) p.transform.windows(p.in, in.part, o.x, on_load, in.of(v));
    team.wait();
    if (p.schedule.together) {
      if (dw) b.gradients.accumulate(team, begins, tiles, v, m);
      if (dx && dw) team.wait();
      if (dx) b.weights.multiply(team, tiles, m, v);
      team.wait();
    } else {
      float* const du = b.gradients.du + chunk * b.gradients.floats();
      // While dU's product runs, U's plane for dX is prefetched; while dX's does, the next dU.
      p.products.each([&](const Product& e, const Product* next) {
        Prefetches of_dw = b.gradients.prefetch(next, tiles, du, v, m), of_dx = b.weights.prefetch(next, tiles, m, v);
        if (p.prefetches && dx && dw) {
          of_dx = next ? Prefetches{of_dw[0]} : Prefetches{};
          of_dw[0] = b.weights.plane_of(e);
        }
        if (dw) b.gradients.product(e, begins, tiles, {0, s.k}, du, v, m, of_dw);
        if (dx) b.weights.product(e, tiles, b.weights.u, {0, s.c}, m, v, of_dx);
      });
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
