// The vector rows of element-wise steps, for every instruction set of this machine, in f32 and bf16: the reference's
// bits.
#include "tests/support/odd_values.hpp"
#include "tests/support/run_row.hpp"

using namespace rt;
using namespace rt::testing;

TEST_CASE("elementwise: every vector row gives the reference's values, NaNs included, apart and in place") {
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

TEST_CASE("elementwise: every vector row of accumulate adds gradients in bf16 to those in f32") {
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
