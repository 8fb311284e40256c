// Every pass is a product with the matrix of windows: row = output pixel, columns = the source values it sees, ordered
// by tap and channel. That matrix is never whole in memory: a block of it is copied from the source just before it is
// multiplied, which costs a few percent and makes stride, padding and any channel count the same case.
//   forward: windows of x times weights.    dw: transposed windows of x times dy, in chunks of pixels added in order.
//   dx with stride s: pixels of dx fall into s*s classes by (h mod s, w mod s); each class is a stride-1 forward over
//   dy with its own share of the taps, mirrored.
#include "kernels/conv2d_gemm.hpp"

#include <omp.h>

#include <algorithm>
#include <cstring>

#include "kernels/conv2d_windows.hpp"

namespace rt::cpu::gemm {
namespace {

// Block sizes: functions of the shape alone, never of the threads, because they decide the order of additions.
constexpr int64_t depth_block = 384;     // deep enough to make loading and storing C cheap
constexpr int64_t pixel_block = 96;      // so many rows of windows (150 KiB) stay in the L2 cache
constexpr int64_t dw_pixel_block = 128;  // depth of the products in dw
constexpr int64_t dw_tile = 1 << 17;     // elements of dw that one task accumulates: half a MiB
constexpr int64_t enough_tasks = 32;     // to keep many cores busy, and two evenly
constexpr int64_t whole_tiles = 48;      // a multiple of the tile height of every instruction set
constexpr int64_t row_pad = 16;          // rows a power of two apart would share few sets of the L1 cache

// Where the pixels of a windows' grid go in an image of h x w pixels: (i*step+h0, j*step+w0).
struct Destination {
  float* data;
  int64_t h, w, step, h0, w0;
};

struct Split {  // of a product with [pixels, outputs] results into tasks
  int64_t pixels, columns, tasks;
  Split(int64_t all_pixels, int64_t outputs, const GemmKernels& kernels) {
    const int64_t blocks = ceil_div(all_pixels, pixel_block), panels = ceil_div(outputs, kernels.columns);
    pixels = std::min(all_pixels, round_up(ceil_div(all_pixels, blocks), whole_tiles));
    columns = ceil_div(panels, std::min(panels, ceil_div(enough_tasks, blocks))) * kernels.columns;
    tasks = ceil_div(all_pixels, pixels) * ceil_div(outputs, columns);
  }
};

// Threads that have a task, and so need scratch memory.
int64_t workers(int64_t tasks) { return std::min<int64_t>(threads_in_use(), tasks); }

int64_t correlate_floats_per_worker(bool scatter, const Split& split, int64_t depth) {
  const int64_t windows = split.pixels * (std::min(depth, depth_block) + row_pad);
  return round_up(windows + (scatter ? split.pixels * split.columns : 0), 16);
}
size_t correlate_floats(bool scatter, int64_t pixels, int64_t depth, int64_t outputs, const GemmKernels& kernels) {
  const Split split(pixels, outputs, kernels);
  return static_cast<size_t>(workers(split.tasks) * correlate_floats_per_worker(scatter, split, depth));
}

// destination[pixel, output] = sum over the depth of windows[pixel, d] * weights[d, output]
void correlate(const GemmKernels& kernels, const Windows& v, const float* panels, int64_t outputs,
               const Destination& to, float* scratch) {
  const int64_t pixels = v.pixels(), depth = v.depth();
  const bool scatter = to.step != 1, in_place = v.is_source();
  const Split split(pixels, outputs, kernels);
  const int64_t a_row = in_place ? v.c : std::min(depth, depth_block) + row_pad;
  const int64_t worker_floats = correlate_floats_per_worker(scatter, split, depth);
#pragma omp parallel for collapse(2) schedule(dynamic, 1) num_threads(workers(split.tasks))
  for (int64_t first = 0; first < pixels; first += split.pixels)
    for (int64_t column = 0; column < outputs; column += split.columns) {
      float* const windows = scratch + omp_get_thread_num() * worker_floats;
      float* const result = windows + (in_place ? 0 : split.pixels * a_row);
      const int64_t m = std::min(split.pixels, pixels - first), n = std::min(split.columns, outputs - column);
      float* const c = scatter ? result : to.data + first * outputs + column;
      const int64_t c_row = scatter ? n : outputs;
      for (int64_t d = 0; d < depth; d += depth_block) {
        const int64_t end = std::min(depth, d + depth_block);
        if (!in_place) copy_windows(v, first, m, d, end, windows, a_row);
        kernels.multiply({m, n, end - d, in_place ? v.source + first * v.c + d : windows, a_row, 1,
                          panels + column * depth + d * kernels.columns, depth * kernels.columns, kernels.columns, c,
                          c_row, d > 0});
      }
      for (int64_t pixel = first; scatter && pixel < first + m; ++pixel) {
        const int64_t j = pixel % v.q, i = pixel / v.q % v.p, image = pixel / v.q / v.p;
        const int64_t at = (image * to.h + i * to.step + to.h0) * to.w + j * to.step + to.w0;
        std::memcpy(to.data + at * outputs + column, result + (pixel - first) * n,
                    static_cast<size_t>(n) * sizeof(float));
      }
    }
}

size_t panel_floats(int64_t outputs, int64_t depth, const GemmKernels& kernels) {
  return static_cast<size_t>(round_up(outputs, kernels.columns) * depth);
}

Windows forward_windows(const Conv2dShape& s, const float* x) {
  return {x, s.n, s.h, s.w, s.c, s.p, s.q, s.stride, -s.pad, -s.pad, s.r, s.s};
}

}  // namespace

void forward(const GemmKernels& kernels, const Conv2dShape& s, const float* x, const float* w, const float* bias,
             float* y, void* space) {
  const Taps taps{w, s.k, s.c, s.c * s.r * s.s, s.r * s.s, s.r, s.s, 0, s.s, 1};
  float* const panels = static_cast<float*>(space);
  pack_weights(taps, kernels.columns, panels);
  correlate(kernels, forward_windows(s, x), panels, s.k, {y, s.p, s.q, 1, 0, 0},
            panels + panel_floats(s.k, taps.depth(), kernels));
  for (int64_t pixel = 0; bias && pixel < s.n * s.p * s.q; ++pixel)
    for (int64_t k = 0; k < s.k; ++k) y[pixel * s.k + k] += bias[k];
}

size_t forward_bytes(const GemmKernels& kernels, const Conv2dShape& s) {
  const int64_t depth = s.c * s.r * s.s;
  return (panel_floats(s.k, depth, kernels) + correlate_floats(false, s.n * s.p * s.q, depth, s.k, kernels)) *
         sizeof(float);
}

namespace {

// The taps r of a kernel of `size` that reach a dx coordinate h with h mod stride == residue: r = last, last - stride,
// .. meeting dy coordinates  h / stride + offset, + 1, ..   Most reach is the last, so that dy coordinates rise.
struct Reach {
  int64_t last, count, offset, outputs;
  Reach(int64_t residue, int64_t size, int64_t all_outputs, int64_t stride, int64_t pad) {
    const int64_t first = (residue + pad) % stride;
    count = first < size ? (size - 1 - first) / stride + 1 : 0;
    last = first + (count - 1) * stride;
    offset = count ? (residue + pad - last) / stride : 0;
    outputs = ceil_div(all_outputs - residue, stride);
  }
};

template <class F>
void for_each_class(const Conv2dShape& s, F&& f) {
  for (int64_t h = 0; h < std::min<int64_t>(s.stride, s.h); ++h)
    for (int64_t w = 0; w < std::min<int64_t>(s.stride, s.w); ++w)
      f(h, w, Reach(h, s.r, s.h, s.stride, s.pad), Reach(w, s.s, s.w, s.stride, s.pad));
}

void clear_pixels(const Destination& to, const Conv2dShape& s) {
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < s.n; ++row)
    for (int64_t i = to.h0; i < to.h; i += to.step)
      for (int64_t j = to.w0; j < to.w; j += to.step)
        std::fill_n(to.data + ((row * to.h + i) * to.w + j) * s.c, s.c, 0.0f);
}

}  // namespace

void dx(const GemmKernels& kernels, const Conv2dShape& s, const float* dy, const float* w, float* dx, void* space) {
  for_each_class(s, [&](int64_t h0, int64_t w0, const Reach& h, const Reach& v) {
    const Destination to{dx, s.h, s.w, s.stride, h0, w0};
    if (h.count * v.count == 0) return clear_pixels(to, s);
    const Taps taps{
        w, s.c, s.k, s.r * s.s, s.c * s.r * s.s, h.count, v.count, h.last * s.s + v.last, -s.stride * s.s, -s.stride};
    float* const panels = static_cast<float*>(space);
    pack_weights(taps, kernels.columns, panels);
    correlate(kernels, {dy, s.n, s.p, s.q, s.k, h.outputs, v.outputs, 1, h.offset, v.offset, h.count, v.count}, panels,
              s.c, to, panels + panel_floats(s.c, taps.depth(), kernels));
  });
}

size_t dx_bytes(const GemmKernels& kernels, const Conv2dShape& s) {
  size_t floats = 0;
  for_each_class(s, [&](int64_t, int64_t, const Reach& h, const Reach& v) {
    const int64_t depth = h.count * v.count * s.k;
    const size_t scratch = correlate_floats(s.stride != 1, s.n * h.outputs * v.outputs, depth, s.c, kernels);
    floats = std::max(floats, panel_floats(s.c, depth, kernels) + scratch);
  });
  return floats * sizeof(float);
}

namespace {

// dw as [depth, K] tiles: a task accumulates one chunk of the depth over one chunk of the pixels.
struct DwSplit {
  int64_t depth, pixels, depth_chunk, pixel_chunk, pixel_chunks, block, tasks;
  explicit DwSplit(const Conv2dShape& s) : depth(s.c * s.r * s.s), pixels(s.n * s.p * s.q) {
    const int64_t chunks = ceil_div(depth, std::max<int64_t>(48, dw_tile / s.k));
    depth_chunk = std::min(depth, round_up(ceil_div(depth, chunks), whole_tiles));
    const int64_t wanted = ceil_div(enough_tasks, ceil_div(depth, depth_chunk));
    pixel_chunk = ceil_div(pixels, std::min(wanted, ceil_div(pixels, dw_pixel_block)));
    pixel_chunks = ceil_div(pixels, pixel_chunk);
    block = ceil_div(pixel_chunk, ceil_div(pixel_chunk, dw_pixel_block));
    tasks = pixel_chunks * ceil_div(depth, depth_chunk);
  }
  int64_t a_row() const { return depth_chunk + row_pad; }
  int64_t floats_per_worker(int64_t k, const GemmKernels& kernels) const {
    return round_up(block * (a_row() + round_up(k, kernels.columns)), 16);
  }
  int64_t partial_floats(int64_t k) const { return round_up(depth * k, 16); }
};

}  // namespace

void dw(const GemmKernels& kernels, const Conv2dShape& s, const float* dy, const float* x, float* dw, void* space) {
  const DwSplit split(s);
  const Windows v = forward_windows(s, x);
  float* const partial = static_cast<float*>(space);
  const int64_t partial_floats = split.partial_floats(s.k), worker_floats = split.floats_per_worker(s.k, kernels);
  float* const scratch = partial + split.pixel_chunks * partial_floats;
#pragma omp parallel for collapse(2) schedule(dynamic, 1) num_threads(workers(split.tasks))
  for (int64_t chunk = 0; chunk < split.pixel_chunks; ++chunk)
    for (int64_t d = 0; d < split.depth; d += split.depth_chunk) {
      float* const windows = scratch + omp_get_thread_num() * worker_floats;
      float* const panels = windows + split.block * split.a_row();
      const int64_t m = std::min(split.depth_chunk, split.depth - d), begin = chunk * split.pixel_chunk;
      const int64_t end = std::min(split.pixels, begin + split.pixel_chunk);
      for (int64_t first = begin; first < end; first += split.block) {
        const int64_t count = std::min(split.block, end - first);
        copy_windows(v, first, count, d, d + m, windows, split.a_row());
        pack_rows(dy + first * s.k, count, s.k, kernels.columns, panels);
        kernels.multiply({m, s.k, count, windows, 1, split.a_row(), panels, count * kernels.columns, kernels.columns,
                          partial + chunk * partial_floats + d * s.k, s.k, first > begin});
      }
    }
  // Chunks are added in order, and [tap, C, K] becomes [K, C, tap].
  constexpr int64_t group = 16;
  const int64_t taps = s.r * s.s;
#pragma omp parallel for schedule(static)
  for (int64_t k = 0; k < s.k; k += group)
    for (int64_t c = 0; c < s.c; ++c)
      for (int64_t tap = 0; tap < taps; ++tap) {
        const int64_t n = std::min(group, s.k - k);
        const float* from = partial + (tap * s.c + c) * s.k + k;
        float sum[group];
        std::copy_n(from, n, sum);
        for (int64_t chunk = 1; chunk < split.pixel_chunks; ++chunk)
          for (int64_t j = 0; j < n; ++j) sum[j] += from[chunk * partial_floats + j];
        for (int64_t j = 0; j < n; ++j) dw[((k + j) * s.c + c) * taps + tap] = sum[j];
      }
}

size_t dw_bytes(const GemmKernels& kernels, const Conv2dShape& s) {
  const DwSplit split(s);
  return static_cast<size_t>(split.pixel_chunks * split.partial_floats(s.k) +
                             workers(split.tasks) * split.floats_per_worker(s.k, kernels)) *
         sizeof(float);
}

}  // namespace rt::cpu::gemm
