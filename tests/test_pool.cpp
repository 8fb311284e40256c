// The vector rows of pooling, for every instruction set of this machine, in f32 and bf16: the reference's bits.
#include "kernels/pool/pool.hpp"
#include "tests/support/odd_values.hpp"
#include "tests/support/run_row.hpp"

using namespace rt;
using namespace rt::testing;

namespace {

constexpr DType types[] = {DType::f32, DType::bf16};

}  // namespace

TEST_CASE("pool: every vector row of max_pool gives the reference's values and indices, also of ties and NaNs") {
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

TEST_CASE("pool: every vector row of avg_pool agrees with the reference") {
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
