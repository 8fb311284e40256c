// Convolution and the classifier: every row that this machine can run, on every shape of ResNet-18 and on shapes chosen
// to break blocking. Small integers make f32 sums exact, so there any difference at all is a wrong index; Winograd's
// algorithm is compared with sums in f64 instead.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#include "bench/accuracy.hpp"
#include "core/device.hpp"
#include "core/rng.hpp"
#include "core/tape.hpp"
#include "kernels/conv2d/conv2d.hpp"
#include "kernels/conv2d/conv2d_row.hpp"
#include "kernels/conv2d/direct/conv2d_gemm.hpp"
#include "kernels/linear/linear.hpp"
#include "kernels/table.hpp"
#include "tests/support/threads_guard.hpp"

namespace rt::emulated_tiles {
extern const GemmKernelsOf<Bf16Pair> gemm_kernels;  // tiles_emulated.cpp
}

using namespace rt;
using namespace rt::testing;

namespace {

// The rows of AMX, for machines that do not have it.
using Tiles = cpu::ConvRow<cpu::Conv2dGemm<emulated_tiles::gemm_kernels>>;
Row tiles_row(const Kind& kind, void (*run)(const Args&), size_t (*bytes)(const Problem&)) {
  return {.kind = kind, .name = "tiles", .refuse = cpu::refuse_conv2d_gemm_of_pairs, .run = run, .workspace = bytes};
}
const Row emulated_rows[] = {tiles_row(kinds::conv2d_forward, Tiles::forward, Tiles::forward_bytes),
                             tiles_row(kinds::conv2d_dx, Tiles::dx, Tiles::dx_bytes),
                             tiles_row(kinds::conv2d_dw, Tiles::dw, Tiles::dw_bytes)};

struct Conv {
  int64_t n, c, h, w, k, r, s;
  int stride, pad;
};

// The steps of one op, forward and backward, with the tensors they read.
struct Recorded {
  std::vector<Tensor> tensors;
  std::vector<Step> steps;
  std::vector<Spec> specs;  // by value

  Recorded(std::vector<Spec> inputs, const std::function<Var(Tape&, std::span<const Var>)>& op, bool integers) {
    Tape tape(Tape::Mode::trace, kernel_table(), cpu_target());
    std::vector<Var> in;
    auto add = [&](const Spec& spec) {
      Tensor& t = tensors.emplace_back(spec);
      Rng rng(7, RngPurpose::test, static_cast<uint32_t>(tensors.size()));
      for (int64_t i = 0; i < spec.shape.numel(); ++i) {
        const float value = rng.uniform(-2.5f, 2.5f);
        const float number = integers ? std::nearbyint(value) : value;
        if (spec.dtype == DType::f64)
          t.as<double>()[i] = static_cast<double>(value);
        else if (spec.dtype == DType::bf16)
          t.as<bf16>()[i] = bf16(number);
        else
          t.as<float>()[i] = number;
      }
      return tape.external(t.view(), "in", true);
    };
    for (const Spec& spec : inputs) in.push_back(add(spec));
    const Var y = op(tape, in);
    tape.backward(y, add(tape.spec(y)));
    steps = tape.steps();
    for (const Step& step : steps)
      for (auto& vars : {step.in, step.out})
        for (Var v : vars) {
          specs.resize(std::max(specs.size(), static_cast<size_t>(v.id) + 1));
          specs[static_cast<size_t>(v.id)] = tape.spec(v);
          memory_.resize(specs.size());
          memory_[static_cast<size_t>(v.id)] = tape.value(v).data;
        }
  }
  const Step& step(std::string_view kind) const {
    for (const Step& s : steps)
      if (s.kind == kind) return s;
    FAIL("no step of this kind");
    return steps[0];
  }
  Spec spec(Var v) const { return specs[static_cast<size_t>(v.id)]; }

  std::vector<const Row*> rows(std::string_view kind) const {  // that run here, the reference last
    const Step& s = step(kind);
    const std::vector<Spec> in = specs_of(s.in), out = specs_of(s.out);
    std::vector<const Row*> list;
    auto add = [&](std::span<const Row> table) {
      for (const Row& row : table)
        if (row.kind == kind && row.device == Device::cpu && row.min_capability <= machine().isa &&
            refusal_of(row, {.ops = s.ops, .in = in, .out = out}).empty())
          list.push_back(&row);
    };
    const Shape &x = spec({0}).shape, &w = spec({1}).shape;
    if (x.rank() == 4 && x.numel() * w.numel() / w[1] < 100'000'000) add(emulated_rows);  // slow ones
    add(kernel_table());
    return list;
  }
  // Output and workspace hold NaNs before the row runs.
  Tensor run(const Row& row) const {
    const Step& s = step(row.kind);
    const std::vector<Spec> in_specs = specs_of(s.in), out_specs = specs_of(s.out);
    std::vector<View> in;
    for (Var v : s.in) in.push_back({spec(v), memory_[static_cast<size_t>(v.id)]});
    Tensor result(out_specs[0]);
    std::memset(result.view().data, 0xff, out_specs[0].bytes());
    const size_t bytes = workspace_bytes(row, {.ops = s.ops, .in = in_specs, .out = out_specs});
    constexpr size_t guard = 128;  // behind it
    const Storage workspace(bytes + guard);
    std::memset(workspace.data(), 0xff, bytes + guard);
    const View out[] = {result.view()};
    run_row(row, {.ops = s.ops, .in = in, .out = out, .workspace = workspace.data()});
    const auto* end = static_cast<const unsigned char*>(workspace.data()) + bytes;
    CHECK(std::all_of(end, end + guard, [](unsigned char c) { return c == 0xff; }));
    return result;
  }

 private:
  std::vector<Spec> specs_of(const std::vector<Var>& vars) const {
    std::vector<Spec> list;
    for (Var v : vars) list.push_back(spec(v));
    return list;
  }
  std::vector<void*> memory_;
};

Recorded record(const Conv& s, bool integers, DType dtype = DType::f32, Layout layout = Layout::nhwc) {
  return Recorded(
      {{{s.n, s.c, s.h, s.w}, dtype, layout}, {{s.k, s.c, s.r, s.s}, dtype}},
      [&](Tape& t, std::span<const Var> in) {
        return conv2d(t, in[0], in[1], {s.stride, s.pad});
      },
      integers);
}
Recorded record_linear(int64_t n, int64_t c, int64_t k, bool integers) {
  return Recorded(
      {{{n, c}}, {{k, c}}, {{k}}}, [](Tape& t, std::span<const Var> in) { return linear(t, in[0], in[1], in[2]); },
      integers);
}

float value_at(const Tensor& t, int64_t i) {
  return t.spec().dtype == DType::bf16 ? static_cast<float>(t.as<bf16>()[i]) : t.as<float>()[i];
}

double relative_l2(const Tensor& a, const Tensor& b) {
  double error = 0, norm = 0;
  for (int64_t i = 0; i < a.spec().shape.numel(); ++i) {
    const double x = static_cast<double>(value_at(a, i)), y = static_cast<double>(value_at(b, i));
    error += (x - y) * (x - y);
    norm += y * y;
  }
  return norm > 0 ? std::sqrt(error / norm) : std::sqrt(error);
}

// What rounding the results leaves of it: a few last places of bf16.
double tolerance(DType dtype, double of_f32) { return dtype == DType::bf16 ? 4e-3 : of_f32; }

constexpr std::string_view conv_kinds[] = {"conv2d.forward", "conv2d.dx", "conv2d.dw"};
constexpr std::string_view linear_kinds[] = {"linear.forward", "linear.dx", "linear.dw", "linear.dbias"};

bool is_winograd(const Row& row) { return row.algorithm == Algorithm::winograd; }

// Direct products: the sums are exact, and so is their rounding to bf16. Winograd's transforms divide by 3 and 15: in
// bf16, where its sums are rounded once, each result is a neighbour of the right one at most; in f32 its error is
// measured below.
void check_integers(const Recorded& recorded, const ConvolutionSums& expected, DType dtype) {
  const std::vector<double>* const wanted[] = {&expected.y, &expected.dx, &expected.dw};
  for (size_t pass = 0; pass < 3; ++pass) {
    const std::vector<const Row*> rows = recorded.rows(conv_kinds[pass]);
    CHECK(rows.size() >= 2);
    for (size_t i = 0; i + 1 < rows.size(); ++i) {  // not the reference: too slow, and compared below
      if (is_winograd(*rows[i]) && dtype == DType::f32) continue;
      INFO(rows[i]->kind.name() << " " << rows[i]->name << " " << recorded.spec({0}).str() << " "
                                << recorded.spec({1}).str());
      const Tensor got = recorded.run(*rows[i]);
      int64_t wrong = 0;
      REQUIRE(got.spec().shape.numel() == static_cast<int64_t>(wanted[pass]->size()));
      for (int64_t n = 0; n < got.spec().shape.numel(); ++n) {
        const float sum = static_cast<float>((*wanted[pass])[static_cast<size_t>(n)]);
        const float want = dtype == DType::bf16 ? static_cast<float>(bf16(sum)) : sum;
        const float margin = is_winograd(*rows[i]) ? 0.01f + std::abs(want) / 128 : 0;
        wrong += !(std::abs(value_at(got, n) - want) <= margin);
      }
      CHECK(wrong == 0);
    }
  }
}

void check_integers(const Conv2dShape& shape) {
  const Conv s{shape.n, shape.c, shape.h, shape.w, shape.k, shape.r, shape.s, shape.stride, shape.pad};
  const Recorded in_f32 = record(s, true);
  const ConvolutionSums expected(shape, in_f32.tensors[0].as<float>(), in_f32.tensors[1].as<float>(),
                                 in_f32.tensors[2].as<float>());
  check_integers(in_f32, expected, DType::f32);
  check_integers(record(s, true, DType::bf16), expected, DType::bf16);
}

// Measured: direct products 1e-7 to 1.1e-6, Winograd 4e-7 to 3.4e-6, more with more channels. A single wrong element of
// the largest result would be 1e-3.
void check_errors(const Conv2dShape& s) {
  bool winograd = false;
  for (const RowError& e : convolution_errors(s)) {
    const std::string what = rt::format("{} {} {}@{}x{} {}x{}/{} -> {}, {} images: {:.2e}", e.row->name, e.pass, s.c,
                                        s.h, s.w, s.r, s.s, s.stride, s.k, s.n, e.relative_l2);
    INFO(what);
    CHECK(e.relative_l2 < (is_winograd(*e.row) ? 5e-6 : 2e-6));
    if (!is_winograd(*e.row)) continue;
    winograd = true;
    if (e.row->min_capability == std::min<int>(machine().isa, isa_avx512)) MESSAGE(what);
  }
  CHECK(winograd == (s.r == 3 && s.c > 3));
}

// With so many images the layers of 64 and 128 channels are computed chunk by chunk, each thread its own; of three
// images of 7x7 the tiles do not divide among threads.
const Conv2dShape of_many_images[] = {{9, 64, 32, 32, 64, 3, 3, 32, 32, 1, 1},
                                      {11, 64, 32, 32, 128, 3, 3, 16, 16, 2, 1},
                                      {9, 128, 16, 16, 128, 3, 3, 16, 16, 1, 1},
                                      {3, 512, 7, 7, 512, 3, 3, 7, 7, 1, 1}};
const Conv2dShape of_few_pixels[] = {{2, 256, 8, 8, 512, 3, 3, 4, 4, 2, 1},
                                     {2, 512, 4, 4, 512, 3, 3, 4, 4, 1, 1},
                                     {1, 256, 14, 14, 512, 3, 3, 7, 7, 2, 1},
                                     {1, 512, 7, 7, 512, 3, 3, 7, 7, 1, 1}};

const Conv odd_shapes[] = {
    {9, 32, 6, 16, 32, 3, 3, 1, 1},   {8, 64, 5, 28, 32, 3, 3, 1, 1}, {8, 32, 17, 32, 32, 3, 3, 2, 1},
    {9, 32, 3, 15, 64, 3, 2, 1, 1},   {8, 32, 7, 14, 96, 2, 3, 1, 0}, {1, 64, 14, 14, 32, 1, 1, 2, 0},
    {3, 5, 9, 11, 7, 5, 5, 3, 2},     {2, 1, 7, 5, 1, 3, 3, 1, 1},    {1, 33, 6, 10, 35, 3, 3, 2, 1},
    {2, 4, 5, 5, 6, 1, 1, 3, 0},      {5, 6, 1, 1, 9, 3, 3, 1, 1},    {1, 17, 13, 2, 70, 2, 4, 1, 1},
    {2, 7, 3, 4, 5, 7, 7, 1, 4},      {1, 3, 20, 19, 10, 7, 7, 2, 3}, {2, 200, 4, 3, 50, 1, 1, 1, 0},
    {1, 8, 12, 12, 16, 3, 3, 4, 0},   {1, 2, 2, 40, 3, 1, 6, 5, 3},   {4, 130, 5, 5, 31, 3, 3, 1, 0},
    {1, 40, 23, 27, 100, 3, 3, 1, 2}, {1, 9, 3, 3, 4, 2, 2, 1, 5},
};

}  // namespace

TEST_CASE("conv2d: direct rows are exact on integers, in all three passes, on every shape of ResNet-18") {
  for (bool imagenet : {false, true})
    for (const Conv2dShape& s : resnet18_convolutions(imagenet, imagenet ? 1 : 2)) check_integers(s);
  for (const Conv2dShape& s : of_many_images) check_integers(s);
  for (const Conv2dShape& s : of_few_pixels) check_integers(s);
}

#ifndef RT_SANITIZED  // minutes there; the shapes above run every line of it
TEST_CASE("conv2d: Winograd comes near sums in f64, in all three passes, on every shape of ResNet-18") {
  for (bool imagenet : {false, true})
    for (const Conv2dShape& s : resnet18_convolutions(imagenet, imagenet ? 1 : 3)) check_errors(s);
  for (const Conv2dShape& s : of_many_images) check_errors(s);
}
#endif

TEST_CASE("conv2d: one layer of ResNet-18 on integers and against f64, for where all of them take too long") {
  const Conv2dShape s{1, 64, 16, 16, 64, 3, 3, 16, 16, 1, 1};
  check_integers(s);
  check_errors(s);
}

TEST_CASE("conv2d: every row agrees with the reference on odd sizes, strides, paddings and channel counts") {
  for (const Conv& s : odd_shapes)
    for (DType dtype : {DType::f32, DType::bf16}) {
      const Recorded recorded = record(s, false, dtype);
      for (std::string_view kind : conv_kinds) {
        const std::vector<const Row*> rows = recorded.rows(kind);
        const Tensor reference = recorded.run(*rows.back());
        for (const Row* row : rows) {
          INFO(row->kind.name() << " " << row->name << " " << recorded.spec({0}).str() << " "
                                << recorded.spec({1}).str());
          CHECK(relative_l2(recorded.run(*row), reference) < tolerance(dtype, 1e-5));
        }
      }
    }
}

TEST_CASE("conv2d: linear is the same product, and every row agrees with the reference") {
  const int64_t shapes[][3] = {{128, 512, 10}, {1, 1, 1}, {7, 33, 1000}, {50, 300, 37}, {3, 2048, 5}};
  for (const auto& s : shapes) {
    const Recorded recorded = record_linear(s[0], s[1], s[2], false);
    for (std::string_view kind : linear_kinds) {
      const std::vector<const Row*> rows = recorded.rows(kind);
      const Tensor reference = recorded.run(*rows.back());
      for (const Row* row : rows) {
        INFO(row->kind.name() << " " << row->name << " " << s[0] << " " << s[1] << " " << s[2]);
        CHECK(relative_l2(recorded.run(*row), reference) < 1e-5);
      }
    }
  }
}

TEST_CASE("conv2d: its bits and those of linear do not depend on the number of threads") {
  const ThreadsGuard guard;
  std::vector<Recorded> all;
  for (const Conv& s :
       {Conv{6, 20, 31, 17, 40, 3, 3, 1, 1}, Conv{3, 64, 15, 15, 72, 3, 3, 2, 1}, Conv{2, 130, 7, 7, 150, 1, 1, 2, 0},
        Conv{2, 3, 56, 56, 64, 7, 7, 2, 3}, Conv{8, 64, 5, 28, 32, 3, 3, 1, 1}, Conv{8, 64, 17, 32, 32, 3, 3, 2, 1}})
    for (DType dtype : {DType::f32, DType::bf16}) all.push_back(record(s, false, dtype));
  all.push_back(record_linear(300, 400, 100, false));
  for (const Recorded& recorded : all)
    for (const Step& step : recorded.steps)
      for (const Row* row : recorded.rows(step.kind)) {
        set_threads(1);
        const Tensor alone = recorded.run(*row);
        for (int threads : {2, 3, 4}) {
          set_threads(threads);
          INFO(row->kind.name() << " " << row->name << " " << recorded.spec({0}).str() << " threads " << threads);
          CHECK(std::memcmp(recorded.run(*row).view().data, alone.view().data, alone.spec().bytes()) == 0);
        }
      }
}

TEST_CASE("conv2d: f64 and nchw go to the reference, and explain says why") {
  const Conv s{2, 3, 5, 5, 4, 3, 3, 1, 1};
  for (const auto& [dtype, layout, why] :
       {std::tuple(DType::f64, Layout::nhwc, "needs f32"), std::tuple(DType::f32, Layout::nchw, "needs nhwc")}) {
    const Recorded recorded = record(s, false, dtype, layout);
    for (std::string_view kind : conv_kinds) {
      const Step& step = recorded.step(kind);
      const Spec in[] = {recorded.spec(step.in[0]), recorded.spec(step.in[1])}, out[] = {recorded.spec(step.out[0])};
      const Problem problem{.kind = kind, .ops = step.ops, .in = in, .out = out};
      CHECK(select_row(kernel_table(), cpu_target(), problem).name == "cpu.reference");
      CHECK(explain_row(kernel_table(), cpu_target(), problem).find(why) != std::string::npos);
    }
  }
}
