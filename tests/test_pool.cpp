// The vector rows of element-wise steps and pooling, for every instruction set of this machine, in f32 and bf16: the
// reference's bits.
#include "tests/support/run_row.hpp"

using namespace rt;
using namespace rt::testing;

namespace {

constexpr DType types[] = {DType::f32, DType::bf16};

Tensor with_oddities(Tensor t) {
  if (t.spec().dtype != DType::f32) return as_type(with_oddities(as_type(t, DType::f32)), t.spec().dtype);
  const float odd[] = {NAN, INFINITY, -INFINITY, -0.0f, 0.0f};
  for (int64_t i = 0; i < t.spec().shape.numel(); i += 7) t.as<float>()[i] = odd[(i / 7) % 5];
  return t;
}

// NaNs may differ in sign and payload; everything else must agree to the bit.
template <class T>
bool same_values_of(const Tensor& a, const Tensor& b) {
  for (int64_t i = 0; i < a.spec().shape.numel(); ++i) {
    const T p = a.as<T>()[i], q = b.as<T>()[i];
    const bool nan = std::isnan(static_cast<float>(p));
    if (nan != std::isnan(static_cast<float>(q)) || (!nan && std::memcmp(&p, &q, sizeof p) != 0)) return false;
  }
  return a.spec() == b.spec();
}
bool same_values(const Tensor& a, const Tensor& b) {
  return (a.spec().dtype == DType::bf16 ? same_values_of<bf16> : same_values_of<float>)(a, b);
}

}  // namespace

TEST_CASE("element-wise: every vector row gives the reference's values, NaNs included, apart and in place") {
  std::vector<Spec> specs{{{1}}, {{1031}}, {{2, 3, 5, 7}}, nhwc({2, 3, 5, 7}), nhwc({8, 32, 16, 16})};
  for (size_t i = specs.size(); i-- > 0;) specs.push_back(as_type(specs[i], DType::bf16));
  specs.insert(specs.end(), {{{6400037}}, {{12800037}, DType::bf16}});  // written past the caches
  for (const Spec& spec : specs) {
    CAPTURE(spec.str());
    const Tensor a = with_oddities(random(spec, 1)), b = with_oddities(random(spec, 2));
    for (const char* kind : {"relu.forward", "relu.backward", "add.forward", "accumulate"})
      for (const Row* row : vector_rows(kind)) {
        CAPTURE(std::string(kind));
        CAPTURE(std::string(row->name));
        const auto in = row->kind == "relu.forward" ? std::vector{&a} : std::vector{&b, &a};
        const Tensor expected = std::move(outputs_of(reference_row(kind), nullptr, in, {spec})[0]);
        CHECK(same_values(outputs_of(*row, nullptr, in, {spec})[0], expected));
        const Tensor both = copy(*in[0]);
        run(*row, nullptr, in.size() == 1 ? std::vector{&both} : std::vector{&both, &a}, {&both});
        CHECK(same_values(both, expected));
      }
  }
}

TEST_CASE("max_pool: every vector row gives the reference's values and indices, with ties, NaNs and infinities") {
  struct Case {
    Shape x;
    MaxPoolAttrs attrs;
  };
  const Case cases[] = {{{2, 64, 16, 16}, {}},       {{2, 3, 9, 7}, {}},          {{3, 100, 8, 11}, {2, 2, 0}},
                        {{2, 300, 6, 5}, {3, 1, 1}}, {{1, 7, 13, 13}, {5, 3, 2}}, {{1, 16, 5, 5}, {1, 2, 0}},
                        {{9, 64, 112, 112}, {}}};  // the last writes dx past the caches
  for (const Case& test : cases) {
    CAPTURE(test.x.str());
    const OpPtr op = max_pool_op(test.attrs);
    for (DType dtype : types) {
      const int64_t images = test.x.n() * (dtype == DType::bf16 ? 2 : 1);  // of as many bytes
      Tensor ties = random(nhwc({images, test.x.c(), test.x.h(), test.x.w()}), 1, -3, 3);
      for (int64_t i = 0; i < ties.spec().shape.numel(); ++i) ties.as<float>()[i] = std::round(ties.as<float>()[i]);
      CAPTURE(std::string(name_of(dtype)));
      const Tensor x = with_oddities(as_type(ties, dtype));
      const Spec in[] = {x.spec()};
      const std::vector<Spec> out = op->infer(in);
      const auto expected = outputs_of(reference_row("max_pool.forward"), op, {&x}, out);
      const Tensor dy = random(out[0], 2);
      const auto dx = outputs_of(reference_row("max_pool.backward"), op, {&dy, &expected[1]}, {x.spec()});
      for (const Row* row : vector_rows("max_pool.forward")) {
        CAPTURE(std::string(row->name));
        const auto actual = outputs_of(*row, op, {&x}, out);
        CHECK(same_values(actual[0], expected[0]));
        CHECK(same_bits(actual[1], expected[1]));
        const Row& backward = sibling(*row, "max_pool.backward");
        CHECK(same_bits(outputs_of(backward, op, {&dy, &expected[1]}, {x.spec()})[0], dx[0]));
      }
    }
  }
}

TEST_CASE("avg_pool: every vector row agrees with the reference") {
  for (const Shape& shape : {Shape{2, 512, 4, 4}, Shape{3, 7, 7, 5}, Shape{1, 2500, 3, 3}, Shape{5, 1, 1, 1}}) {
    for (DType dtype : types) {
      CAPTURE(shape.str());
      CAPTURE(std::string(name_of(dtype)));
      const Tensor x = random(nhwc(shape, dtype), 1), dy = random({{shape.n(), shape.c()}, dtype}, 2);
      for (const Row* row : vector_rows("avg_pool.forward")) {
        CAPTURE(std::string(row->name));
        CHECK(distance(outputs_of(*row, nullptr, {&x}, {dy.spec()})[0],
                       outputs_of(reference_row("avg_pool.forward"), nullptr, {&x}, {dy.spec()})[0]) <= 1e-7);
        CHECK(same_bits(outputs_of(sibling(*row, "avg_pool.backward"), nullptr, {&dy}, {x.spec()})[0],
                        outputs_of(reference_row("avg_pool.backward"), nullptr, {&dy}, {x.spec()})[0]));
      }
    }
  }
}

TEST_CASE("accumulate: every vector row adds gradients in bf16 to those in f32") {
  for (int64_t n : {1, 77, 40000}) {
    const Tensor a = with_oddities(random({{n}}, 1)), b = with_oddities(random({{n}, DType::bf16}, 2));
    const Tensor wide = as_type(b, DType::f32);
    for (const Row* row : vector_rows("accumulate")) {
      const Tensor expected = std::move(outputs_of(*row, nullptr, {&a, &wide}, {a.spec()})[0]), both = copy(a);
      CHECK(same_values(outputs_of(*row, nullptr, {&a, &b}, {a.spec()})[0], expected));
      run(*row, nullptr, {&both, &b}, {&both});
      CHECK(same_values(both, expected));
    }
  }
}
