// Forward and backward as blocks of tiles pass by: transform, 36 or 81 matrix products, inverse transform.
#include "kernels/conv2d_winograd.hpp"

#include <cmath>

#include "kernels/batch_norm.hpp"
#include "kernels/conv2d_winograd_parts.hpp"
#include "kernels/flops.hpp"
#include "kernels/nhwc_rows.hpp"

namespace rt::cpu {
namespace winograd {
namespace {

template <class T>
struct Forward {
  Problem<T> p;
  Space space;
  Weights<T> weights;
  float *v, *m, *sums;
  Forward(const Kernels& kernels, const Conv2dShape& s, const T* w, bool stats, void* workspace)
      : p(kernels, s),
        space{static_cast<float*>(workspace)},
        weights(p, w, false, true, space),
        v(space.take(p.sets() * p.floats(s.c))),
        m(space.take(p.sets() * p.floats(s.k))),
        sums(stats ? space.take(s.n * 3 * s.k) : nullptr) {}
};

template <class T>
struct Backward {
  Problem<T> p;
  Space space;
  Weights<T> weights;
  WeightGradients<T> gradients;
  float *v, *m;     // V's place is dV's when dU has been summed
  float* dx_image;  // where dx is not f32: one image per thread, in which tiles are added up
  Backward(const Kernels& kernels, const Conv2dShape& s, const T* w, T* dw, bool has_dx, bool has_dw, void* workspace)
      : p(kernels, s),
        space{static_cast<float*>(workspace)},
        weights(p, w, true, has_dx, space),
        gradients(p, dw, has_dw, space),
        v(space.take(p.sets() * p.floats(s.c))),
        m(space.take(p.sets() * p.floats(s.k))),
        dx_image(has_dx && !std::is_same_v<T, float> ? space.take(p.schedule.threads * image()) : nullptr) {}
  int64_t image() const { return p.s.h * p.s.w * p.s.c; }
};

// dX of the share's tiles. A bf16 image is rounded once, when its last tile has been added.
template <class T>
void input_gradients(const Backward<T>& b, const Share& share, WinogradPlanes dv, T* dx) {
  const Problem<T>& p = b.p;
  if constexpr (std::is_same_v<T, float>) {
    p.transform.input_gradients(p.in, share.part, share.of(dv), dx);
  } else {
    float* const image = b.dx_image + omp_get_thread_num() * b.image();
    const int64_t per_image = p.in.tiles(), end = share.part.first + share.part.tiles;
    WinogradPlanes from = share.of(dv);
    for (int64_t t = share.part.first; t < end;) {
      const int64_t n = t / per_image, next = std::min(end, (n + 1) * per_image);
      p.transform.input_gradients(p.in, {t, next - t, share.part.channel, share.part.channels}, from,
                                  image - n * b.image());
      from.data += (next - t) * from.row;
      if (next == (n + 1) * per_image)
        p.transform.convert(image + share.part.channel, dx + n * b.image() + share.part.channel, p.s.h * p.s.w, p.s.c,
                            share.part.channels);
      t = next;
    }
  }
}

// Chan, Golub & LeVeque, 1979, over the images in order: sums as WinogradKernels::outputs leaves them, of `count` values each.
void finish_stats(const float* sums, int64_t images, int64_t channels, int64_t count, double eps, float* mean,
                  float* rstd, float* var) {
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
    const double all = static_cast<double>(images * count);
    mean[c] = static_cast<float>(total);
    rstd[c] = static_cast<float>(1 / std::sqrt(m2 / all + eps));
    var[c] = static_cast<float>(m2 / (all - 1));
  }
}

}  // namespace

template <class T>
void forward(const Kernels& kernels, const Conv2dShape& s, const T* x, const T* w, T* y, const Stats* stats,
             void* workspace) {
  const Forward<T> f(kernels, s, w, stats, workspace);
  const Problem<T>& p = f.p;
  f.weights.make_all();
  each_block(p, [&](const Team& team, int64_t set, int64_t, int64_t first, int64_t tiles, bool) {
    const WinogradPlanes v = p.planes(f.v + set * p.floats(s.c), s.c), m = p.planes(f.m + set * p.floats(s.k), s.k);
    const Share from(team, first, tiles, s.c, false, 0), to(team, first, tiles, s.k, p.schedule.together, p.in.tiles());
    p.transform.windows(p.in, from.part, x, from.of(v));
    team.wait();
    if (p.schedule.together)
      f.weights.multiply(team, tiles, v, m);
    else
      for (const Product& e : p.products) f.weights.product(e, tiles, f.weights.u, 0, s.k, v, m);
    team.wait();
    p.transform.outputs(p.out, to.part, to.of(m), y, f.sums);
  });
  if (stats) finish_stats(f.sums, s.n, s.k, s.p * s.q, stats->eps, stats->mean, stats->rstd, stats->var);
}

template <class T>
void backward(const Kernels& kernels, const Conv2dShape& s, const T* dy, const T* x, const T* w, T* dx, T* dw,
              void* workspace) {
  const Backward<T> b(kernels, s, w, dw, dx, dw, workspace);
  const Problem<T>& p = b.p;
  if (dx) b.weights.make_all();
  each_block(p, [&](const Team& team, int64_t set, int64_t chunk, int64_t first, int64_t tiles, bool begins) {
    const WinogradPlanes v = p.planes(b.v + set * p.floats(s.c), s.c), m = p.planes(b.m + set * p.floats(s.k), s.k);
    const Share from(team, first, tiles, s.k, false, 0), in(team, first, tiles, s.c, false, 0),
        to(team, first, tiles, s.c, p.schedule.together, p.in.tiles());
    p.transform.gradients(p.out, from.part, dy, from.of(m));
    if (dw) p.transform.windows(p.in, in.part, x, in.of(v));
    team.wait();
    if (p.schedule.together) {
      if (dw) b.gradients.accumulate(team, begins, tiles, v, m);
      if (dx && dw) team.wait();
      if (dx) b.weights.multiply(team, tiles, m, v);
      team.wait();
    } else {
      for (const Product& e : p.products) {
        if (dw) b.gradients.product(e, begins, tiles, 0, s.k, b.gradients.du + chunk * b.gradients.floats(), v, m);
        if (dx) b.weights.product(e, tiles, b.weights.u, 0, s.c, m, v);
      }
    }
    if (dx) {
      input_gradients(b, to, v, dx);
      team.wait();  // the next block's V goes where others may still read dV
    }
  });
  if (dw) b.gradients.finish_all();
}

Blocks blocks(const Conv2dShape& s, const std::function<size_t(int64_t)>& bytes) {
  constexpr size_t more = size_t{16} << 20;  // what a larger block may take beyond the usual one
  const WinogradGrid grid{s.p, s.q, s.k, ceil_div(s.p, 4), ceil_div(s.q, 4)};
  const Schedule usual(s, grid, 0);
  const size_t least = bytes(0);
  Blocks found{{usual.block}, least};
  for (const int64_t factor : {1, 4}) {  // halves
    const int64_t size =
        Schedule(s, grid, (usual.together ? Schedule::tiles_together : Schedule::tiles_alone) * factor / 2).block;
    const size_t needed = bytes(size);
    if (size == usual.block || needed > least + more) continue;
    found.sizes.push_back(size);
    found.bytes = std::max(found.bytes, needed);
  }
  return found;
}

template <class T>
size_t forward_bytes(const Kernels& kernels, const Conv2dShape& s, bool stats) {
  Forward<T> f(kernels, s, nullptr, false, nullptr);
  return static_cast<size_t>(f.space.used + (stats ? round_up(s.n * 3 * s.k, line) : 0)) * sizeof(float);
}
template <class T>
size_t backward_bytes(const Kernels& kernels, const Conv2dShape& s, bool dx, bool dw) {
  return static_cast<size_t>(Backward<T>(kernels, s, nullptr, nullptr, dx, dw, nullptr).space.used) * sizeof(float);
}

#define INSTANTIATE(T)                                                                                     \
  template void forward(const Kernels&, const Conv2dShape&, const T*, const T*, T*, const Stats*, void*);  \
  template void backward(const Kernels&, const Conv2dShape&, const T*, const T*, const T*, T*, T*, void*); \
  template size_t forward_bytes<T>(const Kernels&, const Conv2dShape&, bool);                              \
  template size_t backward_bytes<T>(const Kernels&, const Conv2dShape&, bool, bool);
INSTANTIATE(float)
INSTANTIATE(bf16)

}  // namespace winograd

namespace {
std::string refuse(const rt::Problem& p, const Spec& x, const Spec& w) {
  if (x.layout != Layout::nhwc) return "needs nhwc";
  if (w.layout == Layout::nhwc) return "needs weights in K,C,R,S order";
  if (std::string why = refuse_all_but_f32_bf16(p); !why.empty()) return why;
  const Conv2dShape s = conv2d_shape(p.op, x, w);
  if (s.r != 3 || s.s != 3 || s.stride > 2 || s.pad != 1) return "needs 3x3 of stride 1 or 2 and padding 1";
  if (s.c % 16 != 0 || s.k % 16 != 0) return "needs channels in multiples of 16";
  if (winograd_share(s) > 0.9) return "tiles of 4x4 hang over the edges of so small a map";
  return "";
}
}  // namespace
std::string refuse_winograd_forward(const Problem& p) { return refuse(p, p.in[0], p.in[1]); }
std::string refuse_winograd_forward_stats(const Problem& p) { return refuse(p, p.in[0], p.in[1]); }
std::string refuse_winograd_dx(const Problem& p) { return refuse(p, p.out[0], p.in[1]); }
std::string refuse_winograd_dw(const Problem& p) { return refuse(p, p.in[1], p.out[0]); }
std::string refuse_winograd_backward(const Problem& p) { return refuse(p, p.in[1], p.in[2]); }

}  // namespace rt::cpu
