// The vector rows of batch normalisation, for every instruction set of this machine, against the reference rows and
// against each other.
#include "core/device.hpp"
#include "kernels/isa.hpp"
#include "tests/support/run_row.hpp"
#include "tests/support/threads_guard.hpp"

using namespace rt;
using namespace rt::testing;

namespace {

struct Operands {
  const char* name;
  std::string in, out;  // per value: a letter of the fields of Values
};
constexpr int kinds_without_sums = 6;
const Operands all_operands[] = {
    {"batch_norm.apply", "xmrgb", "X"}, {"bn_relu.apply", "xmrgb", "X"},   {"bn_add_relu.apply", "xmrgbs", "X"},
    {"batch_norm.dx", "dxmrgGB", "X"},  {"bn_relu.dx", "dyxmrgGB", "X"},   {"bn_add_relu.dx", "dyxmrgGB", "XX"},
    {"batch_norm.stats", "x", "CCC"},   {"batch_norm.sums", "dxmr", "CC"}, {"bn_relu.sums", "dyxmr", "CC"}};

struct Values {
  Tensor x, y, dy, skip, mean, rstd, gamma, beta, dgamma, dbeta;
  explicit Values(const Shape& s, DType dtype = DType::f32)
      : x(random(nhwc(s, dtype), 1, -1, 2)),
        y(random(nhwc(s, dtype), 2)),
        dy(random(nhwc(s, dtype), 3)),
        skip(random(nhwc(s, dtype), 4)),
        mean(random({{s.c()}}, 5)),
        rstd(random({{s.c()}}, 6, 0.5f, 2)),
        gamma(random({{s.c()}}, 7)),
        beta(random({{s.c()}}, 8)),
        dgamma(random({{s.c()}}, 9, -5, 5)),
        dbeta(random({{s.c()}}, 10, -5, 5)) {}

  std::vector<const Tensor*> in(const Operands& kind) const {
    std::vector<const Tensor*> list;
    for (char c : kind.in)
      list.push_back(c == 'x'   ? &x
                     : c == 'y' ? &y
                     : c == 'd' ? &dy
                     : c == 's' ? &skip
                     : c == 'm' ? &mean
                     : c == 'r' ? &rstd
                     : c == 'g' ? &gamma
                     : c == 'b' ? &beta
                     : c == 'G' ? &dgamma
                                : &dbeta);
    return list;
  }
  std::vector<Spec> out(const Operands& kind) const {
    std::vector<Spec> list;
    for (char c : kind.out) list.push_back(c == 'X' ? x.spec() : mean.spec());
    return list;
  }
};

constexpr DType types[] = {DType::f32, DType::bf16};

// In bf16 few results are rounded the other way, and distance() counts those that differ; of a reduction they are f32.
double tolerance(const Tensor& result) { return result.spec().dtype == DType::bf16 ? 0x1p-7 : 2e-6; }

}  // namespace

TEST_CASE("batch_norm: every vector row agrees with the reference") {
  const OpPtr op = batch_norm_op();
  std::vector<Shape> shapes{{2, 2500, 3, 4}, {7, 512, 11, 13}};  // more channels, more rows, than one block of sums
  for (int64_t c : {1, 3, 7, 16, 64, 100, 512}) shapes.insert(shapes.end(), {{2, c, 1, 1}, {3, c, 9, 11}});
  for (int64_t c : {1, 3, 64, 100}) shapes.push_back({5, c, 25, 40});
  for (const Shape& shape : shapes)
    for (DType dtype : types) {
      CAPTURE(shape.str());
      CAPTURE(std::string(name_of(dtype)));
      const Values v(shape, dtype);
      for (const Operands& kind : all_operands) {
        CAPTURE(std::string(kind.name));
        const std::vector<Tensor> expected = outputs_of(reference_row(kind.name), op, v.in(kind), v.out(kind));
        for (const Row* row : vector_rows(kind.name)) {
          CAPTURE(std::string(row->name));
          const std::vector<Tensor> actual = outputs_of(*row, op, v.in(kind), v.out(kind));
          for (size_t i = 0; i < actual.size(); ++i) CHECK(distance(actual[i], expected[i]) <= tolerance(expected[i]));
        }
      }
    }
}

TEST_CASE("batch_norm: statistics stay accurate when the mean is 100,000 standard deviations away from zero") {
  const OpPtr op = batch_norm_op({.eps = 1e-12});
  const Shape shape{6, 20, 24, 25};
  Tensor x(nhwc(shape));
  Rng rng(3, RngPurpose::test);
  const int64_t rows = 6 * 24 * 25, channels = 20;
  for (int64_t i = 0; i < rows * channels; ++i) x.as<float>()[i] = static_cast<float>(1000 + 0.01 * rng.normal());
  for (const Row* row : vector_rows("batch_norm.stats")) {
    CAPTURE(std::string(row->name));
    const std::vector<Tensor> out = outputs_of(*row, op, {&x}, {{{channels}}, {{channels}}, {{channels}}});
    for (int64_t c = 0; c < channels; ++c) {
      double mean = 0, squares = 0;
      for (int64_t r = 0; r < rows; ++r) mean += static_cast<double>(x.as<float>()[r * channels + c]) / rows;
      for (int64_t r = 0; r < rows; ++r)
        squares += std::pow(static_cast<double>(x.as<float>()[r * channels + c]) - mean, 2);
      CHECK(out[0].as<float>()[c] == static_cast<float>(mean));
      CHECK(static_cast<double>(out[1].as<float>()[c]) ==
            doctest::Approx(1 / std::sqrt(squares / rows + 1e-12)).epsilon(1e-6));
      CHECK(static_cast<double>(out[2].as<float>()[c]) == doctest::Approx(squares / (rows - 1)).epsilon(1e-6));
    }
  }
}

TEST_CASE("batch_norm: no bit depends on the number of threads") {
  const OpPtr op = batch_norm_op();
  for (DType dtype : types) {
    const Values v({5, 100, 25, 41}, dtype);
    for (const Operands& kind : all_operands)
      for (const Row* row : vector_rows(kind.name)) {
        CAPTURE(std::string(kind.name));
        CAPTURE(std::string(row->name));
        std::vector<Tensor> first;
        for (int threads : {1, 2, 3, 4}) {
          const ThreadsGuard with(threads);
          std::vector<Tensor> out = outputs_of(*row, op, v.in(kind), v.out(kind));
          if (first.empty())
            first = std::move(out);
          else
            for (size_t i = 0; i < out.size(); ++i) CHECK(same_bits(out[i], first[i]));
        }
      }
  }
}

TEST_CASE("batch_norm: rows that may work in place give the same bits there, also where they stream otherwise") {
  const OpPtr op = batch_norm_op();
  for (const Spec& x : {nhwc({3, 7, 9, 11}), nhwc({1, 64, 330, 300}),  // the second and the fourth: 25 MB
                        nhwc({3, 7, 9, 11}, DType::bf16), nhwc({1, 64, 660, 300}, DType::bf16)}) {
    const Values v(x.shape, x.dtype);
    for (int k = 0; k < kinds_without_sums; ++k)
      for (const Row* row : vector_rows(all_operands[k].name)) {
        CAPTURE(std::string(row->kind.name()));
        CAPTURE(std::string(row->name));
        const std::vector<Tensor> apart = outputs_of(*row, op, v.in(all_operands[k]), v.out(all_operands[k]));
        std::vector<const Tensor*> in = v.in(all_operands[k]);
        REQUIRE(row->overwrites == reference_row(all_operands[k].name).overwrites);
        const Tensor both = copy(*in[static_cast<size_t>(row->kind.input(row->overwrites))]), second(v.x.spec());
        in[static_cast<size_t>(row->kind.input(row->overwrites))] = &both;
        run(*row, op, in, apart.size() == 2 ? std::vector{&both, &second} : std::vector{&both});
        CHECK(same_bits(both, apart[0]));
        if (apart.size() == 2) CHECK(same_bits(second, apart[1]));
      }
  }
}

TEST_CASE("batch_norm: a fused step gives the bits of the steps it replaces, in every instruction set") {
  const OpPtr op = batch_norm_op();
  for (const Spec& x : {nhwc({3, 7, 9, 11}), nhwc({5, 64, 12, 12}), nhwc({3, 7, 9, 11}, DType::bf16),
                        nhwc({5, 64, 12, 12}, DType::bf16)}) {
    const Values v(x.shape, x.dtype);
    const Spec image = v.x.spec(), channel = v.mean.spec();
    const std::vector<const Tensor*> stats{&v.x, &v.mean, &v.rstd, &v.gamma, &v.beta};
    for (const Row* apply : vector_rows("batch_norm.apply")) {
      CAPTURE(std::string(apply->name));
      auto step = [&](const char* kind, const std::vector<const Tensor*>& in, const std::vector<Spec>& out) {
        return outputs_of(sibling(*apply, kind), op, in, out);
      };
      const Tensor t = std::move(step("batch_norm.apply", stats, {image})[0]);
      const Tensor u = std::move(step("add.forward", {&t, &v.skip}, {image})[0]);
      CHECK(same_bits(step("bn_relu.apply", stats, {image})[0], step("relu.forward", {&t}, {image})[0]));
      CHECK(same_bits(step("bn_add_relu.apply", {&v.x, &v.mean, &v.rstd, &v.gamma, &v.beta, &v.skip}, {image})[0],
                      step("relu.forward", {&u}, {image})[0]));

      const Tensor d = std::move(step("relu.backward", {&v.dy, &v.y}, {image})[0]);
      const auto sums = step("batch_norm.sums", {&d, &v.x, &v.mean, &v.rstd}, {channel, channel});
      const auto fused = step("bn_relu.sums", {&v.dy, &v.y, &v.x, &v.mean, &v.rstd}, {channel, channel});
      CHECK(same_bits(fused[0], sums[0]));
      CHECK(same_bits(fused[1], sums[1]));
      const Tensor dx =
          std::move(step("batch_norm.dx", {&d, &v.x, &v.mean, &v.rstd, &v.gamma, &v.dgamma, &v.dbeta}, {image})[0]);
      const std::vector<const Tensor*> masked{&v.dy, &v.y, &v.x, &v.mean, &v.rstd, &v.gamma, &v.dgamma, &v.dbeta};
      CHECK(same_bits(step("bn_relu.dx", masked, {image})[0], dx));
      const auto two = step("bn_add_relu.dx", masked, {image, image});
      CHECK(same_bits(two[0], dx));
      CHECK(same_bits(two[1], d));
    }
  }
}

TEST_CASE("batch_norm: NaN and infinity go where the reference lets them go") {
  const OpPtr op = batch_norm_op();
  for (DType dtype : types) {
    const Values v({2, 19, 5, 7}, dtype);
    auto put = [&](const Tensor& t, int64_t i, float value) {
      const Tensor one({{1}});
      one.as<float>()[0] = value;
      const size_t size = size_of(dtype);
      copy_convert(one.view(), {{{1}, dtype}, static_cast<std::byte*>(t.view().data) + static_cast<size_t>(i) * size});
    };
    for (int64_t i = 0; i < v.x.spec().shape.numel(); i += 19 * 3 + 4) {  // not in every channel
      const float bad[] = {NAN, INFINITY, -INFINITY, -0.0f};
      put(v.x, i, bad[i % 4]);
      put(v.y, i + 1, bad[(i + 1) % 4]);
    }
    for (const Operands& kind : all_operands)
      for (const Row* row : vector_rows(kind.name)) {
        CAPTURE(std::string(kind.name));
        CAPTURE(std::string(row->name));
        if (row->kind == "bn_relu.sums") continue;  // 0 * NaN: the reference leaves out what is masked
        const auto expected = outputs_of(reference_row(kind.name), op, v.in(kind), v.out(kind));
        const auto actual = outputs_of(*row, op, v.in(kind), v.out(kind));
        for (size_t i = 0; i < actual.size(); ++i) {
          if (row->kind != "batch_norm.stats") CHECK(distance(actual[i], expected[i]) <= tolerance(expected[i]));
          // Statistics: the mean of a channel with an infinity may be NaN instead.
          for (int64_t c = 0; row->kind == "batch_norm.stats" && c < 19; ++c)
            CHECK(std::isfinite(actual[i].as<float>()[c]) == std::isfinite(expected[i].as<float>()[c]));
        }
      }
  }
}

TEST_CASE("batch_norm: vector rows leave f64 and nchw to the reference, and say so") {
  const OpPtr op = batch_norm_op();
  const Spec f64[] = {{{2, 3, 4, 4}, DType::f64, Layout::nhwc}}, nchw[] = {{{2, 3, 4, 4}}};
  for (const Operands& kind : all_operands)
    for (const Row* row : vector_rows(kind.name)) {
      CHECK(refusal_of(*row, {.ops = {&op, 1}, .in = f64, .out = f64}) == "needs f32 or bf16, not f64");
      CHECK(refusal_of(*row, {.ops = {&op, 1}, .in = nchw, .out = nchw}) == "needs nhwc");
    }
}

TEST_CASE("batch_norm: sums of some of the channels have the bits of sums of all of them") {
  const int64_t rows = 700, row = 128;
  const Tensor dy = random({{rows, row}}, 1), x = random({{rows, row}}, 2), of_channel = random({{3, row}}, 3);
  const float *mean = of_channel.as<float>(), *scale = mean + row, *shift = scale + row;
  auto sums = [&](int64_t channel, int64_t channels, std::vector<double>& to) {
    baseline::batch_norm_kernels.of_f32.sums(dy.as<float>() + channel, {nullptr, scale + channel, shift + channel},
                                             x.as<float>() + channel, mean + channel, rows, row, channels,
                                             to.data() + channel, to.data() + row + channel);
  };
  std::vector<double> all(2 * row), parts(2 * row);
  sums(0, row, all);
  sums(0, 16, parts);
  sums(16, 80, parts);
  sums(96, 32, parts);
  CHECK(all == parts);
  double want = 0;  // of channel 5
  for (int64_t r = 0; r < rows; ++r)
    if (const int64_t i = r * row + 5; x.as<float>()[i] * scale[5] + shift[5] > 0) want += double{dy.as<float>()[i]};
  CHECK(all[5] == doctest::Approx(want).epsilon(1e-5));
}
