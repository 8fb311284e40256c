// Every pass is a product with the matrix of windows: a row is an output pixel, its columns are the source values that
// the pixel sees, ordered by tap and channel. That matrix is never whole in memory: a block of it is copied from the
// source just before it is multiplied, which costs a few percent and makes stride, padding and any channel count the
// same case. Products of bf16 pairs are so fast that the copies would take longest: where shapes allow,
// conv2d_padded.cpp and conv2d_taps.cpp make fewer.
//   forward: windows of x times weights.
//   dw: transposed windows of x times dy, in chunks of pixels that are added in order.
//   dx with a stride: pixels of dx fall into stride * stride classes by (h mod stride, w mod stride). Each class is a
//   forward pass of stride 1 over dy with its own share of the taps, mirrored.
#include "kernels/conv2d/direct/conv2d_gemm.hpp"

#include <omp.h>

#include <algorithm>
#include <cstring>

#include "kernels/conv2d/direct/conv2d_padded.hpp"
#include "kernels/conv2d/direct/conv2d_taps.hpp"
#include "kernels/conv2d/direct/conv2d_windows.hpp"

namespace rt::cpu {
namespace gemm {
namespace {

// Block sizes: functions of the shape alone, never of the threads, because they decide the order of additions.
struct Blocks {
  int64_t depth;   // elements; deep enough to make loading and storing C cheap
  int64_t pixels;  // so many rows of windows stay in the L2 cache (150 to 240 KiB)
  int64_t tasks;   // enough to keep many cores busy, and two evenly
};
// Products in tiles of 32 rows wait for memory: there rows of A should fit into the L1 cache, and more pixels share the
// weights.
Blocks blocks_for(int64_t tile_rows) {
  if (tile_rows < 32) return {.depth = 384, .pixels = 96, .tasks = 32};
  return {.depth = 192, .pixels = 256, .tasks = 16};
}
constexpr int64_t dw_pixel_block = 128;  // depth of the products in dw, in elements
constexpr int64_t dw_tile = 1 << 17;     // elements of dw that one task accumulates: half a MiB
constexpr int64_t enough_tasks = 32;
constexpr int64_t whole_tiles = 48;  // a multiple of the tile height of most instruction sets
constexpr int64_t row_pad = 16;      // rows a power of two apart would share few sets of the L1 cache

// Where the pixels of a windows' grid go in an image of h x w pixels: (i*step+h0, j*step+w0).
template <class T>
struct Destination {
  T* data;
  int64_t h, w, step, h0, w0;
};

// How a product with [pixels, outputs] results is cut into tasks.
struct Tasks {
  int64_t pixels, columns;  // of one task
  int64_t count;
  Tasks(const Blocks& size, int64_t all_pixels, int64_t outputs, int64_t panel) {
    const int64_t blocks = ceil_div(all_pixels, size.pixels), panels = ceil_div(outputs, panel);
    pixels = std::min(all_pixels, round_up(ceil_div(all_pixels, blocks), whole_tiles));
    columns = ceil_div(panels, std::min(panels, ceil_div(size.tasks, blocks))) * panel;
    count = ceil_div(all_pixels, pixels) * ceil_div(outputs, columns);
  }
};

// One thread's part of the workspace: windows, results that are yet to find their places, sums that are yet to be
// rounded.
template <class T, class Element>
struct Scratch {
  static constexpr bool rounds = !std::is_same_v<T, float>;
  int64_t row;            // elements of a row of windows, which begin at 0
  int64_t results, sums;  // where they begin, in bytes
  int64_t bytes;
  Scratch(const Blocks& blocks, const Tasks& tasks, int64_t depth, bool scatter)
      : row(std::min(depth, blocks.depth) + row_pad) {
    const auto lines = [](int64_t count, size_t size) { return round_up(count * static_cast<int64_t>(size), 64); };
    const int64_t tile = tasks.pixels * tasks.columns;
    results = lines(tasks.pixels * row, sizeof(Element));
    sums = results + (scatter ? lines(tile, sizeof(T)) : 0);
    bytes = sums + (rounds && depth > blocks.depth ? lines(tile, sizeof(float)) : 0);
  }
};

template <class T, class Element>
size_t correlate_bytes(const GemmKernelsOf<Element>& kernels, const Windows<T>& windows, int64_t outputs,
                       bool scatter) {
  if constexpr (per<Element> == 2)
    if (!scatter && padded::fit(kernels, windows, outputs)) return padded::correlate_bytes(windows);
  const Blocks blocks = blocks_for(kernels.rows);
  const Tasks tasks(blocks, windows.pixels(), outputs, kernels.columns);
  const Scratch<T, Element> memory(blocks, tasks, ceil_div(windows.depth(), per<Element>), scatter);
  return static_cast<size_t>(workers(tasks.count) * memory.bytes);
}

// destination[pixel, output] = sum over the depth of windows[pixel, d] * weights[d, output]
template <class T, class Element>
void correlate(const GemmKernelsOf<Element>& kernels, const Windows<T>& windows, const Element* panels, int64_t outputs,
               const Destination<T>& to, std::byte* space) {
  using Memory = Scratch<T, Element>;
  const int64_t pixels = windows.pixels(), depth = ceil_div(windows.depth(), per<Element>);
  const bool scatter = to.step != 1;
  const bool in_place =
      windows.is_source() && sizeof(T) * per<Element> == sizeof(Element) && windows.c % per<Element> == 0;
  const Blocks blocks = blocks_for(kernels.rows);
  const Tasks tasks(blocks, pixels, outputs, kernels.columns);
  const Memory memory(blocks, tasks, depth, scatter);
  const int64_t a_row = in_place ? depth : memory.row;
#pragma omp parallel for collapse(2) schedule(dynamic, 1) num_threads(workers(tasks.count))
  for (int64_t first = 0; first < pixels; first += tasks.pixels)
    for (int64_t column = 0; column < outputs; column += tasks.columns) {
      std::byte* const mine = space + omp_get_thread_num() * memory.bytes;
      auto* const copy = reinterpret_cast<Element*>(mine);
      const int64_t m = std::min(tasks.pixels, pixels - first), n = std::min(tasks.columns, outputs - column);
      T* const result = scatter ? reinterpret_cast<T*>(mine + memory.results) : to.data + first * outputs + column;
      const int64_t result_row = scatter ? n : outputs;
      for (int64_t d = 0; d < depth; d += blocks.depth) {
        const int64_t end = std::min(depth, d + blocks.depth);
        if (!in_place)
          copy_windows(windows, first, m, d * per<Element>, std::min(windows.depth(), end * per<Element>), copy, a_row);
        GemmBlockOf<Element> block{
            .m = m,
            .n = n,
            .depth = end - d,
            .a = in_place ? reinterpret_cast<const Element*>(windows.source) + first * depth + d : copy,
            .a_row = a_row,
            .a_step = 1,
            .b = panels + column * depth + d * kernels.columns,
            .b_panel = depth * kernels.columns,
            .b_step = kernels.columns,
            .c = nullptr,
            .c_row = n,
            .accumulate = d > 0};
        if constexpr (Memory::rounds) {
          if (depth > blocks.depth) block.c = reinterpret_cast<float*>(mine + memory.sums);
          if (end == depth) {
            block.rounded = result;
            block.rounded_row = result_row;
          }
        } else {
          block.c = result;
          block.c_row = result_row;
        }
        kernels.multiply(block);
      }
      for (int64_t pixel = first; scatter && pixel < first + m; ++pixel) {
        const int64_t j = pixel % windows.q, i = pixel / windows.q % windows.p, image = pixel / windows.q / windows.p;
        const int64_t at = (image * to.h + i * to.step + to.h0) * to.w + j * to.step + to.w0;
        std::memcpy(to.data + at * outputs + column, result + (pixel - first) * n, static_cast<size_t>(n) * sizeof(T));
      }
    }
}

template <class Element>
size_t panel_bytes(int64_t outputs, int64_t depth, int64_t panel) {
  return static_cast<size_t>(round_up(outputs, panel) * ceil_div(depth, per<Element>)) * sizeof(Element);
}

// In `space` the weights' panels come first, then what correlate needs.
template <class T, class Element>
void pack_and_correlate(const GemmKernelsOf<Element>& kernels, const Windows<T>& windows, const TapWeights<T>& weights,
                        const Destination<T>& to, void* space) {
  auto* const panels = static_cast<Element*>(space);
  pack_weights(weights, kernels.columns, panels);
  std::byte* const rest =
      static_cast<std::byte*>(space) + panel_bytes<Element>(weights.outputs, weights.depth(), kernels.columns);
  if constexpr (per<Element> == 2)
    if (to.step == 1 && padded::fit(kernels, windows, weights.outputs))
      return padded::correlate(kernels, windows, panels, weights.outputs, to.data, rest);
  correlate(kernels, windows, panels, weights.outputs, to, rest);
}

template <class T>
Windows<T> forward_windows(const Conv2dShape& s, const T* x) {
  return {.source = x,
          .n = s.n,
          .h = s.h,
          .w = s.w,
          .c = s.c,
          .p = s.p,
          .q = s.q,
          .step = s.stride,
          .h0 = -s.pad,
          .w0 = -s.pad,
          .taps_h = s.r,
          .taps_w = s.s};
}

}  // namespace

template <class T, class Element>
void Passes<T, Element>::forward(const Kernels& kernels, const Conv2dShape& s, const T* x, const T* w, T* y,
                                 void* space) {
  const int64_t taps_w = s.s, taps = s.r * taps_w;
  const TapWeights<T> weights{.w = w,
                              .outputs = s.k,
                              .inputs = s.c,
                              .output_stride = s.c * taps,
                              .input_stride = taps,
                              .taps_h = s.r,
                              .taps_w = taps_w,
                              .first = 0,
                              .h_stride = taps_w,
                              .w_stride = 1};
  const Destination<T> to{.data = y, .h = s.p, .w = s.q, .step = 1, .h0 = 0, .w0 = 0};
  pack_and_correlate(kernels, forward_windows(s, x), weights, to, space);
}

template <class T, class Element>
size_t Passes<T, Element>::forward_bytes(const Kernels& kernels, const Conv2dShape& s) {
  const Windows<T> windows = forward_windows<T>(s, nullptr);
  return panel_bytes<Element>(s.k, windows.depth(), kernels.columns) +
         correlate_bytes<T, Element>(kernels, windows, s.k, false);
}

namespace {

// Along one side of the filter, which has `size` taps: those that reach the coordinates h of dx with h mod stride ==
// residue. They are last, last - stride and so on, and meet the coordinates h / stride + offset, + 1 and so on of dy;
// in this order dy's coordinates rise.
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

// Calls f(h mod stride, w mod stride, reach of rows, reach of columns) for each class of dx's pixels.
template <class F>
void for_each_class(const Conv2dShape& s, F&& f) {
  for (int64_t h = 0; h < std::min<int64_t>(s.stride, s.h); ++h)
    for (int64_t w = 0; w < std::min<int64_t>(s.stride, s.w); ++w)
      f(h, w, Reach(h, s.r, s.h, s.stride, s.pad), Reach(w, s.s, s.w, s.stride, s.pad));
}

template <class T>
Windows<T> dx_windows(const Conv2dShape& s, const T* dy, const Reach& rows, const Reach& columns) {
  return {.source = dy,
          .n = s.n,
          .h = s.p,
          .w = s.q,
          .c = s.k,
          .p = rows.outputs,
          .q = columns.outputs,
          .step = 1,
          .h0 = rows.offset,
          .w0 = columns.offset,
          .taps_h = rows.count,
          .taps_w = columns.count};
}

template <class T>
void clear_pixels(const Destination<T>& to, const Conv2dShape& s) {
#pragma omp parallel for schedule(static)
  for (int64_t n = 0; n < s.n; ++n)
    for (int64_t i = to.h0; i < to.h; i += to.step)
      for (int64_t j = to.w0; j < to.w; j += to.step)
        std::fill_n(to.data + ((n * to.h + i) * to.w + j) * s.c, s.c, T(0.0f));
}

}  // namespace

template <class T, class Element>
void Passes<T, Element>::dx(const Kernels& kernels, const Conv2dShape& s, const T* dy, const T* w, T* dx, void* space) {
  const int64_t taps_w = s.s, taps = s.r * taps_w;
  for_each_class(s, [&](int64_t h0, int64_t w0, const Reach& rows, const Reach& columns) {
    const Destination<T> to{.data = dx, .h = s.h, .w = s.w, .step = s.stride, .h0 = h0, .w0 = w0};
    if (rows.count * columns.count == 0) return clear_pixels(to, s);
    const TapWeights<T> weights{.w = w,
                                .outputs = s.c,
                                .inputs = s.k,
                                .output_stride = taps,
                                .input_stride = s.c * taps,
                                .taps_h = rows.count,
                                .taps_w = columns.count,
                                .first = rows.last * taps_w + columns.last,
                                .h_stride = -s.stride * taps_w,
                                .w_stride = -s.stride};
    pack_and_correlate(kernels, dx_windows(s, dy, rows, columns), weights, to, space);
  });
}

template <class T, class Element>
size_t Passes<T, Element>::dx_bytes(const Kernels& kernels, const Conv2dShape& s) {
  size_t bytes = 0;
  for_each_class(s, [&](int64_t, int64_t, const Reach& rows, const Reach& columns) {
    const Windows<T> windows = dx_windows<T>(s, nullptr, rows, columns);
    bytes = std::max(bytes, panel_bytes<Element>(s.c, windows.depth(), kernels.columns) +
                                correlate_bytes<T, Element>(kernels, windows, s.c, s.stride != 1));
  });
  return bytes;
}

namespace {

// dw as [depth, K] tiles: a task accumulates one chunk of the depth over one chunk of the pixels.
template <class Element>
struct DwTasks {
  int64_t depth, pixels;  // of the whole product
  int64_t depth_chunk;    // of one task, of whose pixels `block` are multiplied at a time
  int64_t pixel_chunk, pixel_chunks, block;
  int64_t count;
  explicit DwTasks(const Conv2dShape& s) : depth(s.c * s.r * s.s), pixels(s.n * s.p * s.q) {
    constexpr int64_t dw_pixels = dw_pixel_block * per<Element>;
    const int64_t chunks = ceil_div(depth, std::max<int64_t>(48, dw_tile / s.k));
    depth_chunk = std::min(depth, round_up(ceil_div(depth, chunks), whole_tiles));
    const int64_t wanted = ceil_div(enough_tasks, ceil_div(depth, depth_chunk));
    pixel_chunk = ceil_div(pixels, std::min(wanted, ceil_div(pixels, dw_pixels)));
    pixel_chunks = ceil_div(pixels, pixel_chunk);
    block = round_up(ceil_div(pixel_chunk, ceil_div(pixel_chunk, dw_pixels)), per<Element>);
    count = pixel_chunks * ceil_div(depth, depth_chunk);
  }
  int64_t a_row() const { return depth_chunk + row_pad; }
  int64_t elements_per_worker(int64_t k, int64_t panel) const {
    return round_up(block / per<Element> * (a_row() + round_up(k, panel)), 16);
  }
  int64_t partial_floats(int64_t k) const { return round_up(depth * k, 16); }
};

}  // namespace

template <class T, class Element>
void Passes<T, Element>::dw(const Kernels& kernels, const Conv2dShape& s, const T* dy, const T* x, T* dw, void* space) {
  if constexpr (per<Element> == 2)
    if (by_taps::fit(s)) return by_taps::dw(kernels, s, dy, x, dw, space);
  const DwTasks<Element> tasks(s);
  const Windows<T> windows = forward_windows(s, x);
  float* const partial = static_cast<float*>(space);
  const int64_t partial_floats = tasks.partial_floats(s.k);
  const int64_t worker_elements = tasks.elements_per_worker(s.k, kernels.columns);
  auto* const scratch = reinterpret_cast<Element*>(partial + tasks.pixel_chunks * partial_floats);
#pragma omp parallel for collapse(2) schedule(dynamic, 1) num_threads(workers(tasks.count))
  for (int64_t chunk = 0; chunk < tasks.pixel_chunks; ++chunk)
    for (int64_t d = 0; d < tasks.depth; d += tasks.depth_chunk) {
      Element* const stacked = scratch + omp_get_thread_num() * worker_elements;
      Element* const panels = stacked + tasks.block / per<Element> * tasks.a_row();
      const int64_t m = std::min(tasks.depth_chunk, tasks.depth - d), begin = chunk * tasks.pixel_chunk;
      const int64_t end = std::min(tasks.pixels, begin + tasks.pixel_chunk);
      for (int64_t first = begin; first < end; first += tasks.block) {
        const int64_t count = std::min(tasks.block, end - first);
        const int64_t rows = ceil_div(count, per<Element>);
        stack_windows(windows, first, count, d, d + m, stacked, tasks.a_row());
        pack_rows(dy + first * s.k, count, s.k, kernels.columns, panels);
        kernels.multiply({.m = m,
                          .n = s.k,
                          .depth = rows,
                          .a = stacked,
                          .a_row = 1,
                          .a_step = tasks.a_row(),
                          .b = panels,
                          .b_panel = rows * kernels.columns,
                          .b_step = kernels.columns,
                          .c = partial + chunk * partial_floats + d * s.k,
                          .c_row = s.k,
                          .accumulate = first > begin});
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
        for (int64_t chunk = 1; chunk < tasks.pixel_chunks; ++chunk)
          for (int64_t j = 0; j < n; ++j) sum[j] += from[chunk * partial_floats + j];
        for (int64_t j = 0; j < n; ++j) dw[((k + j) * s.c + c) * taps + tap] = T(sum[j]);
      }
}

template <class T, class Element>
size_t Passes<T, Element>::dw_bytes(const Kernels& kernels, const Conv2dShape& s) {
  if (per<Element> == 2 && by_taps::fit(s)) return by_taps::dw_bytes(s);
  const DwTasks<Element> tasks(s);
  return static_cast<size_t>(tasks.pixel_chunks * tasks.partial_floats(s.k)) * sizeof(float) +
         static_cast<size_t>(workers(tasks.count) * tasks.elements_per_worker(s.k, kernels.columns)) * sizeof(Element);
}

template struct Passes<float, float>;
template struct Passes<bf16, float>;
template struct Passes<bf16, Bf16Pair>;

}  // namespace gemm

std::string refuse_conv2d_gemm(const Problem& p) {
  if (p.in[0].layout != Layout::nhwc) return "needs nhwc";
  if (p.in[1].layout == p.out[0].layout) return "needs weights in K,C,R,S order";  // one of these two is the weight
  if (p.in[1].dtype != p.in[0].dtype || p.out[0].dtype != p.in[0].dtype) return "needs images and weights of one type";
  return refuse_all_but_f32_bf16(p);
}

std::string refuse_conv2d_gemm_of_pairs(const Problem& p) {
  return p.in[0].dtype == DType::bf16 ? refuse_conv2d_gemm(p) : "needs bf16";
}

}  // namespace rt::cpu
