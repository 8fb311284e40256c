// Reference batch normalisation, any layout, plain and fused forms from one set of loops. Sums are taken in f64.
#include <cmath>

#include "core/op.hpp"
#include "kernels/batch_norm/batch_norm.hpp"
#include "kernels/reference.hpp"

namespace rt::cpu::reference {
namespace {

// Calls f(index) for every element of channel c, in N,H,W order.
template <class F>
void each_of_channel(const Spec& spec, int64_t c, F&& f) {
  const Shape& s = spec.shape;
  const Strides t = spec.strides();
  for (int64_t n = 0; n < s.n(); ++n)
    for (int64_t h = 0; h < s.h(); ++h)
      for (int64_t w = 0; w < s.w(); ++w) f(n * t.n + c * t.c + h * t.h + w * t.w);
}
int64_t per_channel(const Spec& x) { return x.shape.numel() / x.shape.c(); }

// y = [relu](scale*x + shift [+ skip]), with one multiplication and one addition per element in every form, and rounded
// before skip is added as the unfused steps round.
template <bool relu>
void apply(const Args& a) {
  const View* skip_view = a.find_input("skip");
  with_type(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    using F = Computed<T>;
    const T *x = a.in[0].as<T>(), *skip = skip_view ? skip_view->as<T>() : nullptr;
    const F *mean = a.in[1].as<F>(), *rstd = a.in[2].as<F>(), *gamma = a.in[3].as<F>(), *beta = a.in[4].as<F>();
    T* y = a.out[0].as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t c = 0; c < a.in[0].shape().c(); ++c) {
      const F scale = rstd[c] * gamma[c], shift = beta[c] - mean[c] * scale;
      each_of_channel(a.in[0].spec, c, [&](int64_t i) {
        F v = x[i] * scale;
        v = v + shift;
        if (skip) v = static_cast<T>(v) + skip[i];
        y[i] = static_cast<T>(relu && !(v > 0) ? (v != v ? v : F(0)) : v);
      });
    }
  });
}

// With a mask y, dy counts where y > 0.
void sums(const Args& a) {
  with_type(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    using F = Computed<T>;
    const View* mask = a.find_input("y");
    const T *dy = a.input("dy").as<T>(), *y = mask ? mask->as<T>() : nullptr, *x = a.input("x").as<T>();
    const F *mean = a.input("mean").as<F>(), *rstd = a.input("rstd").as<F>();
#pragma omp parallel for schedule(static)
    for (int64_t c = 0; c < a.in[0].shape().c(); ++c) {
      double dgamma = 0, dbeta = 0;
      each_of_channel(a.in[0].spec, c, [&](int64_t i) {
        if (y && !(y[i] > 0)) return;
        dbeta += static_cast<double>(dy[i]);
        dgamma += static_cast<double>(dy[i]) * (static_cast<double>(x[i]) - static_cast<double>(mean[c]));
      });
      a.out[0].as<F>()[c] = static_cast<F>(dgamma * static_cast<double>(rstd[c]));
      a.out[1].as<F>()[c] = static_cast<F>(dbeta);
    }
  });
}

// dx = gamma*rstd * (dy - dbeta/m - (x-mean)*rstd*dgamma/m)
void dx(const Args& a) {
  with_type(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    using F = Computed<T>;
    const View *mask = a.find_input("y"), *dskip_view = a.find_output("dskip");
    const T *dy = a.input("dy").as<T>(), *y = mask ? mask->as<T>() : nullptr, *x = a.input("x").as<T>();
    const F *mean = a.input("mean").as<F>(), *rstd = a.input("rstd").as<F>(), *gamma = a.input("gamma").as<F>();
    const F *dgamma = a.input("dgamma").as<F>(), *dbeta = a.input("dbeta").as<F>();
    T *out = a.output("dx").as<T>(), *dskip = dskip_view ? dskip_view->as<T>() : nullptr;
    const F m = static_cast<F>(per_channel(a.in[0].spec));
#pragma omp parallel for schedule(static)
    for (int64_t c = 0; c < a.in[0].shape().c(); ++c) {
      const F scale = gamma[c] * rstd[c], mean_dy = dbeta[c] / m, slope = rstd[c] * dgamma[c] / m;
      each_of_channel(a.in[0].spec, c, [&](int64_t i) {
        const T d = y && !(y[i] > 0) ? T(0) : dy[i];
        if (dskip) dskip[i] = d;
        out[i] = static_cast<T>(scale * ((d - mean_dy) - (x[i] - mean[c]) * slope));
      });
    }
  });
}

}  // namespace

void batch_norm_stats(const Args& a) {
  const int64_t m = per_channel(a.in[0].spec);
  with_type(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    using F = Computed<T>;
    const T* x = a.in[0].as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t c = 0; c < a.in[0].shape().c(); ++c) {
      double sum = 0, squares = 0;
      each_of_channel(a.in[0].spec, c, [&](int64_t i) { sum += static_cast<double>(x[i]); });
      const double mean = sum / static_cast<double>(m);
      // two passes: E[x^2]-E[x]^2 cancels in f32 when mean >> std
      each_of_channel(a.in[0].spec, c, [&](int64_t i) {
        const double d = static_cast<double>(x[i]) - mean;
        squares += d * d;
      });
      a.out[0].as<F>()[c] = static_cast<F>(mean);
      a.out[1].as<F>()[c] =
          static_cast<F>(1 / std::sqrt(squares / static_cast<double>(m) + batch_norm_attrs(a.ops).eps));
      a.out[2].as<F>()[c] = static_cast<F>(squares / static_cast<double>(m - 1));
    }
  });
}

void batch_norm_running(const Args& a) {
  with_type(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    for (int64_t c = 0; c < a.in[0].numel(); ++c) {
      a.out[0].as<T>()[c] = a.in[0].as<T>()[c];
      a.out[1].as<T>()[c] =
          static_cast<T>(1 / std::sqrt(static_cast<double>(a.in[1].as<T>()[c]) + batch_norm_attrs(a.ops).eps));
    }
  });
}

void batch_norm_update_running(const Args& a) {
  with_type(a.in[0], [&](auto zero) {
    using T = decltype(zero);
    const double momentum = batch_norm_attrs(a.ops).momentum;
    for (size_t k = 0; k < a.out.size(); ++k) {  // in: two fresh ones and two running ones of each layer
      const T* fresh = a.in[k / 2 * 4 + k % 2].as<T>();
      T* running = a.out[k].as<T>();
      for (int64_t c = 0; c < a.out[k].numel(); ++c)
        running[c] =
            static_cast<T>((1 - momentum) * static_cast<double>(running[c]) + momentum * static_cast<double>(fresh[c]));
    }
  });
}

void batch_norm_apply(const Args& a) { apply<false>(a); }
void bn_relu_apply(const Args& a) { apply<true>(a); }
void batch_norm_sums(const Args& a) { sums(a); }
void batch_norm_dx(const Args& a) { dx(a); }

}  // namespace rt::cpu::reference
